"""GeneralClient: the contract, and what only it promises."""

from contextlib import suppress

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamUnreachable
from callboard.transport.general import GeneralClient
from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpClient, HttpRequest
from tests.contracts.http_client import HttpClientContract
from tests.contracts.http_world import Settings, read
from tests.fakes.http_server import Peer, answering, plain, serve

pytestmark = pytest.mark.anyio


def build(settings: Settings, *, proxy: str | None = None) -> GeneralClient:
    return GeneralClient(
        max_connections=settings.capacity,
        limits=settings.limits,
        guard=settings.guard,
        tls=settings.tls,
        proxy=proxy,
    )


class TestGeneralClient(HttpClientContract):
    """The contract."""

    def build(self, settings: Settings) -> HttpClient:
        return build(settings)


async def test_a_proxy_is_asked_for_the_whole_url_and_counts_as_named() -> None:
    with anyio.fail_after(5):
        async with serve(answering(plain(b"via proxy"))) as proxy:
            async with build(Settings(guard=DialGuard()), proxy=proxy.url) as client:
                request = HttpRequest(method="GET", url="http://api.test/v1/models?x=y")
                assert await read(client, request) == b"via proxy"
            [received] = proxy.requests
            assert received.line == b"GET http://api.test/v1/models?x=y HTTP/1.1"
            assert received.values(b"host") == [b"api.test"]


async def test_the_proxys_port_is_all_that_becomes_open() -> None:
    with anyio.fail_after(5):
        async with serve(answering(plain(b"internal"))) as internal:
            async with build(Settings(guard=DialGuard()), proxy="http://127.0.0.1:1/") as client:
                with pytest.raises(UpstreamUnreachable):
                    await client.send(HttpRequest(method="GET", url=internal.url))
            assert internal.connects == 0


async def test_a_poisoned_connection_is_given_up() -> None:
    with anyio.fail_after(5):
        async with serve(answering(plain(b"mine") + plain(b"POISON"))) as server, build(Settings()) as client:
            assert await read(client, HttpRequest(method="GET", url=server.url)) == b"mine"
            with pytest.raises(RemoteWireError):
                await client.send(HttpRequest(method="GET", url=server.url))
            assert client.statistics().open == 0


async def test_leaving_during_the_handshake_closes_the_connection() -> None:
    greeted, left = anyio.Event(), anyio.Event()

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            greeted.set()
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()
            left.set()

    with anyio.fail_after(5):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            build(Settings()) as client,
            anyio.create_task_group() as serving,
        ):
            serving.start_soon(listener.serve, handle)
            url = f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
            async with anyio.create_task_group() as calling:
                calling.start_soon(client.send, HttpRequest(method="GET", url=url))
                await greeted.wait()
                calling.cancel_scope.cancel()
            assert client.statistics().open == 0
            await left.wait()
            serving.cancel_scope.cancel()


async def test_closing_the_client_ends_calls_under_way_and_calls_that_wait() -> None:
    ended = 0

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        await peer.until_closed()

    async def call() -> None:
        nonlocal ended
        with suppress(UpstreamUnreachable, StreamIncomplete):
            await read(client, HttpRequest(method="GET", url=server.url))
        ended += 1

    with anyio.fail_after(5):
        async with serve(script) as server, build(Settings(capacity=1)) as client:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call)
                while client.statistics().waiting != 2 or not server.requests:
                    await anyio.lowlevel.checkpoint()
                await client.aclose()
            assert ended == 3
            assert client.statistics() == ClientStatistics(open=0, idle=0, in_use=0, waiting=0)
            await server.until_open(0)
            assert server.connects == 1


async def test_closing_the_client_while_it_dials_ends_the_call() -> None:
    dialling, go_on = anyio.Event(), anyio.Event()

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        dialling.set()
        await go_on.wait()
        return ("127.0.0.1",)

    async def call() -> None:
        with pytest.raises(UpstreamUnreachable):
            await client.send(HttpRequest(method="GET", url=f"http://model.test:{server.port}/"))

    with anyio.fail_after(5):
        guard = DialGuard(frozenset({"model.test"}), resolve=resolve)
        async with serve(answering(plain(b"late"))) as server, build(Settings(guard=guard)) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await dialling.wait()
                await client.aclose()
                go_on.set()
            await server.until_open(0)
