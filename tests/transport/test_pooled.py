"""PooledClient: the contract, and what only it promises."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
import pytest
import trustme

from callboard.errors import StreamIncomplete, UpstreamTimeout, UpstreamUnreachable
from callboard.transport.http import ClientStatistics, HttpClient, HttpRequest, Timeouts
from callboard.transport.pooled import PooledClient
from tests.contracts.http_client import HttpClientContract
from tests.contracts.http_uploads import Pieces, upload
from tests.contracts.http_world import Settings, get, read
from tests.fakes.http_server import HttpServer, Peer, Script, answering, plain, serve

pytestmark = pytest.mark.anyio


def build(settings: Settings, *, idle_expiry_s: float = 30.0) -> PooledClient:
    return PooledClient(
        max_connections_per_host=settings.capacity,
        limits=settings.limits,
        guard=settings.guard,
        tls=settings.tls,
        idle_expiry_s=idle_expiry_s,
    )


class TestPooledClient(HttpClientContract):
    """The contract."""

    random_cancels: ClassVar[dict[str, int]] = {"asyncio": 1000, "uvloop": 10_000, "trio": 1000}

    def build(self, settings: Settings) -> HttpClient:
        return build(settings)


@asynccontextmanager
async def world(
    script: Script, settings: Settings | None = None, *, idle_expiry_s: float = 30.0
) -> AsyncIterator[tuple[HttpServer, PooledClient]]:
    with anyio.fail_after(10):
        async with (
            serve(script) as server,
            build(settings or Settings(), idle_expiry_s=idle_expiry_s) as client,
        ):
            yield server, client


async def dies_when_asked_again(peer: Peer) -> None:
    """Answer once; take the next request on the same connection and close without a word."""
    await peer.request()
    await peer.send(plain(b"ok"))
    await peer.request()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_an_idempotent_method_is_sent_again_once_when_a_kept_connection_dies(method: str) -> None:
    async with world(dies_when_asked_again) as (server, client):
        for _ in range(2):
            async with await client.send(HttpRequest(method=method, url=server.url)) as response:
                assert response.status == 200
        assert (server.connects, len(server.requests)) == (2, 3)


async def test_a_post_is_sent_again_only_if_the_caller_says_it_may_be() -> None:
    async with world(dies_when_asked_again) as (server, client):
        request = HttpRequest(method="POST", url=server.url, idempotent=True)
        assert await read(client, request) == b"ok"
        assert await read(client, request) == b"ok"
        assert (server.connects, len(server.requests)) == (2, 3)


async def test_a_request_is_never_sent_a_third_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(plain(b"ok"))
            await peer.request()

    async with world(script) as (server, client):
        assert await read(client, get(server)) == b"ok"
        with pytest.raises(UpstreamUnreachable):
            await client.send(get(server))
        assert (server.connects, len(server.requests)) == (2, 3)


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with world(script) as (server, client):
        with pytest.raises(UpstreamUnreachable):
            await client.send(get(server))
        assert len(server.requests) == 1


async def test_nothing_is_sent_again_once_a_byte_of_the_answer_came() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(plain(b"ok"))
        await peer.request()
        await peer.send(b"HTTP/1.1 2")

    async with world(script) as (server, client):
        assert await read(client, get(server)) == b"ok"
        with pytest.raises(UpstreamUnreachable):
            await client.send(get(server))
        assert len(server.requests) == 2


async def test_a_repeated_request_keeps_its_place_in_a_full_pool() -> None:
    async with world(dies_when_asked_again, Settings(capacity=1)) as (server, client):
        for _ in range(2):
            assert await read(client, get(server)) == b"ok"
        assert client.statistics() == ClientStatistics(open=1, idle=1, in_use=0, waiting=0)


async def test_an_answer_is_returned_while_the_peer_does_not_read_the_rest_of_the_request() -> None:
    finished = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(plain(b"enough", status=b"413 Content Too Large"))
        await finished.wait()

    async with world(script) as (server, client):
        request = HttpRequest(method="POST", url=server.url, body=bytes(30_000_000))
        async with await client.send(request) as response:
            assert (response.status, await response.read()) == (413, b"enough")
        assert client.statistics().open == 0
        finished.set()


async def test_a_peer_that_stops_reading_a_large_request_is_a_timeout() -> None:
    finished = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request_head()
        await finished.wait()

    async with world(script) as (server, client):
        timeouts = Timeouts(idle_s=0.03, first_byte_s=0.03)  # the kernel may swallow it all
        request = HttpRequest(method="POST", url=server.url, body=bytes(30_000_000), timeouts=timeouts)
        with pytest.raises(UpstreamTimeout):
            await client.send(request)
        assert client.statistics().open == 0
        finished.set()


async def test_a_connection_idle_for_too_long_is_closed_instead_of_used() -> None:
    async with world(answering(plain(b"ok")), idle_expiry_s=0.0) as (server, client):
        for _ in range(3):
            assert await read(client, get(server)) == b"ok"
        assert server.connects == 3
        assert client.statistics().open == 1


async def test_idle_connections_to_other_hosts_are_swept() -> None:
    async with (
        world(answering(plain(b"ok")), idle_expiry_s=0.0) as (server, client),
        serve(answering(plain(b"ok"))) as other,
    ):
        assert await read(client, get(other)) == b"ok"
        assert await read(client, get(server)) == b"ok"
        await other.until_open(0)
        assert client.statistics().open == 1


async def test_waiting_calls_are_served_in_order() -> None:
    gate = anyio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(plain(b"ok"))

    async with world(script, Settings(capacity=1)) as (server, client):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(
                    read, client, HttpRequest(method="POST", url=server.url, body=b"%d" % number)
                )
                while len(server.requests) + client.statistics().waiting <= number:
                    await anyio.lowlevel.checkpoint()
            gate.set()
        assert [received.body for received in server.requests] == [b"0", b"1", b"2", b"3", b"4"]


async def test_closing_the_client_ends_calls_under_way_and_in_line() -> None:
    async with world(Peer.until_closed, Settings(capacity=1)) as (server, client):

        async def call() -> None:
            with pytest.raises(UpstreamUnreachable):
                await client.send(HttpRequest(method="POST", url=server.url))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            group.start_soon(call)
            while client.statistics().waiting == 0 or server.open == 0:
                await anyio.lowlevel.checkpoint()
            await client.aclose()
        assert client.statistics() == ClientStatistics(open=0, idle=0, in_use=0, waiting=0)
        await server.until_open(0)


async def test_bytes_after_an_answer_cost_the_connection() -> None:
    async with world(answering(plain(b"mine") + plain(b"POISON"))) as (server, client):
        for _ in range(3):
            assert await read(client, get(server)) == b"mine"
        assert server.connects == 3


@pytest.mark.parametrize("last_words", [b"", plain(b"POISON")])
async def test_a_busy_connection_is_not_used_once_its_peer_has_left_or_spoken_unasked(
    last_words: bytes,
) -> None:
    peers = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answering(plain(b"ok"))(peer)

    async with world(script) as (server, client):
        request = HttpRequest(method="POST", url=server.url, body=b"once")
        for _ in range(3):
            assert await read(client, request) == b"ok"
        peers[0].send_at_once(last_words)
        assert await read(client, request) == b"ok"
        assert (server.connects, len(server.requests)) == (2, 4)


async def test_an_answer_that_is_read_late_is_not_mixed_up_with_the_next_on_its_connection() -> None:
    async def script(peer: Peer) -> None:
        for body in (b"one", b"two", b"three"):
            await peer.request()
            await peer.send(plain(body))

    async with world(script, Settings(capacity=1)) as (server, client):
        first, second, third = [await client.send(get(server)) for _ in range(3)]
        assert await second.read() == b"two"
        assert [piece async for piece in first] == [b"one"]
        assert await third.read() == b"three"
        assert server.connects == 1


async def test_over_tls_a_body_that_ends_without_goodbye_is_incomplete() -> None:
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    answer = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    with anyio.fail_after(10):
        script = answering(answer, then_close=True)
        async with serve(script, tls=serving) as server, build(Settings(tls=trusting)) as client:
            with pytest.raises(StreamIncomplete):
                await read(client, get(server))


@pytest.mark.parametrize("length", [None, 1000])
async def test_an_answer_ends_an_upload_that_still_waits_for_its_body(length: int | None) -> None:
    async def script(peer: Peer) -> None:
        await peer.request_head()
        await peer.send(plain(b"enough", status=b"413 Too Large"))
        await peer.until_closed()

    pieces = Pieces((b"a", b"b"), length=length, gate=anyio.Event())
    async with serve(script) as server, build(Settings()) as client:
        with anyio.fail_after(5):
            async with await client.send(upload(server, pieces)) as response:
                assert (response.status, await response.read()) == (413, b"enough")
            await server.until_open(0)


async def test_a_peer_that_leaves_during_an_upload_is_noticed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request_head()

    pieces = Pieces((b"a", b"b"), length=2, gate=anyio.Event())
    async with serve(script) as server, build(Settings()) as client:
        with anyio.fail_after(5), pytest.raises(UpstreamUnreachable):
            await client.send(upload(server, pieces))


def in_turn(*bodies: bytes) -> Script:
    """One body after another, on whatever connection."""
    left = iter(bodies)

    async def answer(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(plain(next(left)))

    return answer


async def test_an_answer_that_is_over_takes_nothing_of_the_next_on_its_connection() -> None:
    async with world(in_turn(b"mine", b"another's")) as (server, client):
        async with await client.send(get(server)) as first:
            pieces = [await anext(first)]
            async with await client.send(get(server)) as second:
                pieces += [piece async for piece in first]
                assert await second.read() == b"another's"
        assert pieces == [b"mine"]


async def test_an_answer_that_came_whole_is_kept_for_its_reader() -> None:
    async with (
        world(in_turn(b"mine", b"another's")) as (server, client),
        await client.send(get(server)) as first,
        await client.send(get(server)) as second,
    ):
        assert (await second.read(), await first.read()) == (b"another's", b"mine")
