"""What every ``HttpClient`` makes of broken, endless and cut answers."""

import tracemalloc
import zlib
from functools import cache

import pytest

from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamUnreachable,
)
from callboard.transport.http import Limits
from tests.contracts.http_world import LONG, HttpWorld, Settings, get, pieces, read
from tests.fakes.http_server import Peer, answering, chunked, plain


@cache
def bomb() -> bytes:
    """200 MiB of zeros in about 200 KiB of gzip."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    mebibyte = bytes(1024 * 1024)
    return b"".join(packer.compress(mebibyte) for _ in range(200)) + packer.flush()


class HostilityContract(HttpWorld):
    """Limits hold, and no answer that was cut looks whole."""

    @pytest.mark.parametrize(
        "answer",
        [
            b"junk\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: br\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip, gzip\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
        ],
    )
    async def test_broken_answers_are_refused(self, answer: bytes) -> None:
        async with self.world(answering(answer)) as (server, client):
            with pytest.raises(RemoteWireError):
                await read(client, get(server))

    @pytest.mark.parametrize(
        "head",
        [
            b"X: " + b"y" * 5000 + b"\r\n",
            b"".join(b"X-%d: y\r\n" % number for number in range(30)),
        ],
        ids=["bytes", "count"],
    )
    async def test_too_much_header_is_refused(self, head: bytes) -> None:
        settings = Settings(limits=Limits(header_bytes=4096, header_count=20))
        async with self.world(
            answering(b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 0\r\n\r\n"), settings
        ) as (server, client):
            with pytest.raises(RemoteWireError):
                await client.send(get(server))
            await server.until_open(0)

    async def test_a_header_that_never_ends_is_refused(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                await peer.send(b"y" * 4096)

        async with self.world(script) as (server, client):
            with pytest.raises(RemoteWireError):
                await client.send(get(server))
            await server.until_open(0)

    @pytest.mark.parametrize("answer", [plain(LONG), chunked(LONG)], ids=["length", "chunked"])
    async def test_a_body_beyond_its_limit_is_refused(self, answer: bytes) -> None:
        settings = Settings(limits=Limits(body_bytes=len(LONG) - 1))
        async with self.world(answering(answer), settings) as (server, client):
            with pytest.raises(RemoteWireError):
                await read(client, get(server))
        exact = Settings(limits=Limits(body_bytes=len(LONG)))
        async with self.world(answering(answer), exact) as (server, client):
            assert await read(client, get(server)) == LONG

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
    async def test_unasked_compression_is_undone(self, encoding: str) -> None:
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | (0 if encoding == "deflate" else 16))
        packed = packer.compress(LONG) + packer.flush()
        answer = plain(packed, b"Content-Encoding: " + encoding.encode())
        async with self.world(answering(answer)) as (server, client):
            async with await client.send(get(server)) as response:
                parts = await pieces(response)
            assert b"".join(parts) == LONG
            assert max(map(len, parts)) <= 64 * 1024
            assert b"" not in parts

    async def test_a_decompression_bomb_is_refused_in_little_memory(self) -> None:
        async with self.world(answering(plain(bomb(), b"Content-Encoding: gzip"))) as (server, client):
            tracemalloc.start()
            try:
                async with await client.send(get(server)) as response:
                    with pytest.raises(RemoteWireError):
                        async for _ in response:
                            pass
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 8 * 1024 * 1024
            await server.until_open(0)

    @pytest.mark.parametrize(
        "answer",
        [plain(b"hello"), chunked(b"he", b"llo"), chunked(b"hello")[:-2] + b"Trailer: x\r\n\r\n"],
        ids=["length", "chunked", "trailer"],
    )
    async def test_an_answer_cut_anywhere_never_looks_whole(self, answer: bytes) -> None:
        body_at = answer.index(b"\r\n\r\n") + 4
        cut_at = 0

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(answer[:cut_at])

        async with self.world(script) as (server, client):
            for cut_at in range(len(answer)):
                expected: type[UpstreamError] = UpstreamUnreachable if cut_at < body_at else StreamIncomplete
                with pytest.raises(expected):
                    await read(client, get(server))
                assert client.statistics().open == 0
            cut_at = len(answer)
            assert b"hello" in await read(client, get(server))
