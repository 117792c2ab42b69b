"""What every ``HttpClient`` does with a body that is sent as it comes, and with one that is passed on."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import anyio
import pytest

from callboard.errors import LocalWireError, UpstreamUnreachable
from callboard.transport.http import HttpRequest, Limits, Timeouts
from tests.contracts.http_world import HttpWorld, Settings, read
from tests.fakes.http_server import HttpServer, Peer, answering, plain

PIECES = (b"one", b"two" * 50_000, b"three")
WHOLE = b"".join(PIECES)


class Pieces:
    """An upload of these pieces; raises ``then`` behind them, or waits for ``gate`` before the last one."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        length: int | None = None,
        then: Exception | None = None,
        gate: anyio.Event | None = None,
    ) -> None:
        self.length = length
        self.taken = 0
        self._pieces = pieces
        self._then = then
        self._gate = gate

    async def piece(self) -> bytes:
        if self.taken == len(self._pieces) - 1 and self._gate is not None:
            await self._gate.wait()
        if self.taken < len(self._pieces):
            self.taken += 1
            return self._pieces[self.taken - 1]
        if self._then is not None:
            raise self._then
        return b""


def upload(server: HttpServer, pieces: Pieces, *, method: str = "POST") -> HttpRequest:
    return HttpRequest(method=method, url=server.url, upload=pieces)


async def read_chunks(peer: Peer) -> bytes:
    """A chunked request to its end, without its framing."""
    assert b"\r\nTransfer-Encoding: chunked\r\n" in await peer.request_head()
    body = b""
    while size := int(await peer.until(b"\r\n"), 16):
        body += await peer.exactly(size)
        assert await peer.until(b"\r\n") == b""
    assert await peer.until(b"\r\n") == b""
    return body


class UploadsContract(HttpWorld):
    """Bodies on their way."""

    async def test_a_body_of_known_length_is_sent_as_it_is_and_the_connection_is_kept(self) -> None:
        async with self.world(answering(plain(b"ok"))) as (server, client):
            for _ in range(2):
                assert await read(client, upload(server, Pieces(PIECES, length=len(WHOLE)))) == b"ok"
            assert [each.body for each in server.requests] == [WHOLE, WHOLE]
            assert server.connects == 1

    async def test_a_body_of_unknown_length_is_sent_in_chunks_and_the_connection_is_kept(self) -> None:
        bodies: list[bytes] = []

        async def script(peer: Peer) -> None:
            while True:
                bodies.append(await read_chunks(peer))
                await peer.send(plain(b"ok"))

        async with self.world(script) as (server, client):
            for pieces in (PIECES, ()):
                assert await read(client, upload(server, Pieces(pieces))) == b"ok"
            assert bodies == [WHOLE, b""]
            assert server.connects == 1

    async def test_a_piece_is_sent_before_the_next_one_is_there(self) -> None:
        gate = anyio.Event()

        async def script(peer: Peer) -> None:
            await peer.request_head()
            assert await peer.exactly(5) == b"first"
            gate.set()
            assert await peer.exactly(4) == b"last"
            await peer.send(plain(b"ok"))

        async with self.world(script) as (server, client):
            assert (
                await read(client, upload(server, Pieces((b"first", b"last"), length=9, gate=gate))) == b"ok"
            )

    @pytest.mark.parametrize("length", [2, 4])
    async def test_a_body_of_another_length_than_announced_ends_the_call(self, length: int) -> None:
        async with self.world(Peer.until_closed) as (server, client):
            with pytest.raises(LocalWireError):
                await client.send(upload(server, Pieces((b"abc",), length=length)))
            await server.until_open(0)

    @pytest.mark.parametrize("length", [None, 1000])
    async def test_what_a_body_raises_ends_the_call_and_reaches_the_caller(self, length: int | None) -> None:
        class OurOwnError(Exception):
            pass

        async with self.world(Peer.until_closed) as (server, client):
            with pytest.raises(OurOwnError):
                await client.send(upload(server, Pieces((b"abc",), length=length, then=OurOwnError())))
            await server.until_open(0)

    async def test_a_cancelled_upload_closes_its_connection(self) -> None:
        async with self.world(Peer.until_closed) as (server, client):
            with anyio.move_on_after(0.05) as scope:
                await client.send(upload(server, Pieces((b"a", b"b"), length=2, gate=anyio.Event())))
            assert scope.cancelled_caught
            await server.until_open(0)

    async def test_an_upload_is_never_sent_twice(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(plain(b"ok"))
            await peer.request_head()  # and closes

        async with self.world(script) as (server, client):
            assert await read(client, upload(server, Pieces((b"a",), length=1), method="PUT")) == b"ok"
            pieces = Pieces((b"b",), length=1)
            with pytest.raises(UpstreamUnreachable):
                await client.send(upload(server, pieces, method="PUT"))
            assert pieces.taken == 1
            assert server.connects == 1

    async def test_a_call_may_wait_for_its_body_longer_than_for_its_upstream(self) -> None:
        gate = anyio.Event()

        async def script(peer: Peer) -> None:
            await peer.request_head()
            with anyio.move_on_after(0.3):
                await anyio.sleep_forever()
            gate.set()
            await peer.exactly(2)
            await peer.send(plain(b"ok"))

        async with self.world(script) as (server, client):
            request = HttpRequest(
                method="POST",
                url=server.url,
                upload=Pieces((b"a", b"b"), length=2, gate=gate),
                timeouts=Timeouts(idle_s=0.1, first_byte_s=0.2),
            )
            assert await read(client, request) == b"ok"

    async def test_a_raw_answer_is_neither_unpacked_nor_bounded(self) -> None:
        packed = gzip.compress(bytes(100_000))
        small = Settings(limits=Limits(body_bytes=10))
        answers = answering(plain(packed, b"Content-Encoding: gzip"))
        async with self.world(answers, small) as (server, client):
            assert await read(client, HttpRequest(method="GET", url=server.url, raw=True)) == packed
