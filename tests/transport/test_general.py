"""GeneralClient: the contract, and what only it promises."""

import anyio
import pytest

from callboard.errors import RemoteWireError, UpstreamUnreachable
from callboard.transport.general import GeneralClient
from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpClient, HttpRequest
from tests.contracts.http_client import HttpClientContract
from tests.contracts.http_world import Settings, read
from tests.fakes.http_server import answering, plain, serve

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
