"""Dialling: the socket's options, the order of addresses, and the deadline."""

import socket

import anyio
import pytest

from callboard.errors import UpstreamTimeout, UpstreamUnreachable
from callboard.transport.connection import Connection, dial
from callboard.transport.guard import DialGuard
from callboard.transport.outgoing import Origin
from tests.fakes.http_server import Peer, serve

pytestmark = pytest.mark.anyio


def guard(*addresses: str) -> DialGuard:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return addresses

    return DialGuard(frozenset({"a.test"}), resolve=resolve)


async def connect(port: int, *addresses: str) -> Connection:
    origin = Origin(secure=False, host="a.test", port=port)
    return await dial(origin, guard(*addresses), None, anyio.current_time() + 5)


async def test_small_writes_are_not_held_back() -> None:
    with anyio.fail_after(5):
        async with serve(Peer.until_closed) as server:
            connection = await connect(server.port, "127.0.0.1")
            raw = connection.raw_socket
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            await connection.aclose()
            await server.until_open(0)


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    with anyio.fail_after(5):
        async with serve(Peer.until_closed) as server:
            connection = await connect(server.port, "127.0.0.2", "127.0.0.1")
            assert connection.is_quiet()
            await connection.aclose()


async def test_the_last_refusal_is_the_cause() -> None:
    with anyio.fail_after(5), pytest.raises(UpstreamUnreachable) as caught:
        await connect(1, "127.0.0.2", "127.0.0.1")
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_resolver_that_hangs_is_a_timeout() -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        await anyio.sleep_forever()
        return ()

    origin = Origin(secure=False, host="a.test", port=80)
    with anyio.fail_after(5), pytest.raises(UpstreamTimeout):
        await dial(origin, DialGuard(resolve=resolve), None, anyio.current_time() + 0.02)


async def test_a_peer_that_speaks_or_leaves_is_not_quiet() -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.send(b"x")
            await peer.until_closed()

    with anyio.fail_after(5):
        async with serve(script) as server:
            speaking, leaving = [await connect(server.port, "127.0.0.1") for _ in range(2)]
            while speaking.is_quiet() or leaving.is_quiet():
                await anyio.lowlevel.checkpoint()
            await speaking.aclose()
            await leaving.aclose()


async def test_closing_runs_to_its_end_under_cancellation() -> None:
    with anyio.fail_after(5):
        async with serve(Peer.until_closed) as server:
            connection = await connect(server.port, "127.0.0.1")
            with anyio.CancelScope() as scope:
                scope.cancel()
                await connection.aclose()
            await server.until_open(0)
