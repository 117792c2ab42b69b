"""A WebSocket over a connection that is not there: what it writes, and when it is read."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from callboard.serving.exchange import ClientGone
from callboard.serving.http1.websocket import EARLY_BYTES, Http1Socket
from tests.fakes.socket_client import frame

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Connections of our own server live on asyncio."""
    return request.param


class Wire:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.clogged: asyncio.Future[None] | None = None
        self.paused = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def clog(self) -> None:
        """The client stops reading."""
        self.clogged = asyncio.get_running_loop().create_future()

    def unclog(self) -> None:
        """It has read."""
        clogged, self.clogged = self.clogged, None
        if clogged is not None:
            clogged.set_result(None)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


def opened(wire: Wire, early: bytes = b"", *, ping_s: float = 60) -> Http1Socket:
    """A socket whose handshake is done."""
    socket = Http1Socket(wire, early, ping_s)
    socket.begin(1 << 20)
    return socket


def pong(payload: bytes) -> bytes:
    return bytes([0x8A, len(payload)]) + payload


async def test_of_many_pings_a_client_that_does_not_read_gets_the_last_one_answered() -> None:
    wire = Wire()
    socket = opened(wire)
    wire.clog()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.send, b"hello")
            await anyio.lowlevel.checkpoint()
            socket.feed(b"".join(frame(b"%d" % number, 9) for number in range(1000)) + frame(b"text"))
            assert await socket.receive() == b"text"
            assert wire.written == [b"\x81\x05hello"]
            wire.unclog()
    assert wire.written == [b"\x81\x05hello", pong(b"999")]
    socket.end()


async def test_what_is_not_parsed_is_bounded_and_read_on_when_it_is() -> None:
    wire = Wire()
    socket = opened(wire)
    message = b"x" * 60_000
    with anyio.fail_after(5):
        socket.feed(frame(message))
        states = [wire.paused]
        socket.feed(frame(message))
        assert [*states, wire.paused] == [False, True]
        assert len(message) < EARLY_BYTES
        assert [await socket.receive(), await socket.receive()] == [message, message]
        with anyio.move_on_after(0):
            await socket.receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.receive)
            while wire.paused:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    socket.end()


async def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    wire = Wire()
    socket = opened(wire, frame(b"one ", fin=False))
    raw = frame(b"two", 0) + frame(b"y" * 100_000)
    received: list[bytes | None] = []
    with anyio.fail_after(5):
        while len(received) < 2:
            socket.feed(raw[:50])
            raw = raw[50:]
            with anyio.CancelScope() as scope:
                scope.cancel()
                received.append(await socket.receive())
    assert received == [b"one two", b"y" * 100_000]
    socket.end()


async def test_retiring_is_told_once_and_behind_what_has_come() -> None:
    socket = opened(Wire(), frame(b"last"))
    with anyio.fail_after(5):
        assert await socket.receive() == b"last"
        socket.retire()
        assert await socket.receive() is None
        socket.feed(frame(b"more"))
        assert await socket.receive() == b"more"
        socket.end()
        with pytest.raises(ClientGone):
            await socket.receive()
        with pytest.raises(ClientGone):
            await socket.send(b"too late")


async def test_silence_is_broken_by_a_ping_and_a_second_one_is_not_sent_to_the_dead() -> None:
    wire = Wire()
    socket = opened(wire, ping_s=0.01)
    with anyio.fail_after(5):
        while not wire.aborted:
            await anyio.lowlevel.checkpoint()
    assert wire.written == [b"\x89\x00"]
    socket.end()


async def test_nothing_is_sent_behind_a_goodbye() -> None:
    wire = Wire()
    socket = opened(wire)
    await socket.close(1001, "bye")
    await socket.close(1011, "again")
    socket.feed(frame(b"", 9))
    assert wire.written == [b"\x88\x05\x03\xe9bye"]
