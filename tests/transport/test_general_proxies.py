"""GeneralClient behind real proxies."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from callboard.errors import (
    LocalWireError,
    RemoteWireError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from callboard.transport.general import GeneralClient
from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpRequest, Timeouts
from tests.contracts.http_world import is_at_rest, read
from tests.fakes.certificates import serving, trusting
from tests.fakes.h2_server import Call, H2Server, serve_h2
from tests.fakes.http_server import HttpServer, Peer, answering, chunked, plain, serve
from tests.fakes.proxies import serve_proxy

pytestmark = pytest.mark.anyio

KEY = ("Authorization", "Bearer upstream-key")


async def resolves_nothing(host: str, port: int) -> tuple[str, ...]:
    """Only the proxy may look names up."""
    raise OSError(f"{host}:{port} was looked up here")


@asynccontextmanager
async def behind(proxy: str, *, http2: bool = False, capacity: int = 10) -> AsyncIterator[GeneralClient]:
    """A client that may connect to the proxy and to nothing else, and leaves nothing behind."""
    guard = DialGuard(resolve=resolves_nothing) if "127.0.0.1" in proxy else DialGuard()
    with anyio.fail_after(5):
        client = GeneralClient(
            max_connections=capacity, guard=guard, tls=trusting(), proxy=proxy, http2=http2
        )
        async with client:
            yield client
            assert is_at_rest(client)


def post(url: str, body: bytes = b"{}", *, timeouts: Timeouts | None = None) -> HttpRequest:
    """A request with a key."""
    return HttpRequest(
        method="POST", url=url, headers=(KEY,), body=body, timeouts=timeouts or Timeouts(connect_s=5)
    )


def named(server: HttpServer | H2Server) -> str:
    """The upstream under a name that only the proxy knows."""
    return f"https://api.test:{server.port}/v1/chat"


async def echo(call: Call) -> None:
    """Answer with the request's body."""
    await call.respond(200)
    await call.send(call.body, end=True)


async def part_then_silence(peer: Peer) -> None:
    """Begin an answer and never end it."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    await peer.until_closed()


class TestConnect:
    """A TLS upstream through a tunnel."""

    async def test_the_proxy_learns_the_address_and_nothing_else(self) -> None:
        async with (
            serve(answering(chunked(b"se", b"cret")), tls=serving("api.test")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url) as client,
        ):
            for _ in range(2):
                assert await read(client, post(named(upstream))) == b"secret"
            [head] = proxy.heads  # one tunnel carried both
            assert head.startswith(b"CONNECT api.test:%d HTTP/1.1\r\n" % upstream.port)
            assert b"upstream-key" not in head + proxy.through
            assert b"/v1/chat" not in head + proxy.through
            assert [each.values(b"authorization") for each in upstream.requests] == [[KEY[1].encode()]] * 2
            assert upstream.requests[0].line == b"POST /v1/chat HTTP/1.1"

    async def test_the_upstream_has_to_prove_its_name_through_the_tunnel(self) -> None:
        async with (
            serve(answering(plain(b"stolen")), tls=serving("other.test")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url, capacity=1) as client,
        ):
            for _ in range(2):  # the second gets the place of the first
                with pytest.raises(UpstreamUnreachable):
                    await client.send(post(named(upstream)))
                assert client.statistics().open == 0
            await proxy.until_open(0)
            assert upstream.requests == []

    async def test_an_ipv6_address_is_named_in_brackets_and_has_to_be_proved(self) -> None:
        async with (
            serve(answering(plain(b"six")), tls=serving("2001:db8::1")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url) as client,
        ):
            assert await read(client, post(f"https://[2001:db8::1]:{upstream.port}/")) == b"six"
            assert proxy.heads[0].startswith(b"CONNECT [2001:db8::1]:%d HTTP/1.1\r\n" % upstream.port)
            assert upstream.requests[0].values(b"host") == [b"[2001:db8::1]:%d" % upstream.port]

    @pytest.mark.parametrize(
        "refusal, error",
        [
            (plain(b"", status=b"407 Proxy Authentication Required"), UpstreamUnreachable),
            (plain(b"no", status=b"403 Forbidden"), UpstreamUnreachable),
            (plain(b"", status=b"502 Bad Gateway"), UpstreamUnreachable),
            (plain(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found"), UpstreamUnreachable),
            (b"", UpstreamUnreachable),
            (b"\x00\x01junk\r\n\r\n", RemoteWireError),
        ],
        ids=["407", "403", "502", "redirect", "closes", "no-http"],
    )
    async def test_a_tunnel_that_is_refused_is_an_error_of_the_upstreams(
        self, refusal: bytes, error: type[UpstreamError]
    ) -> None:
        async with serve_proxy(refuses=refusal) as proxy, behind(proxy.url) as client:
            with pytest.raises(error):
                await client.send(post("https://api.test/"))
            assert is_at_rest(client)
            await proxy.until_open(0)
            assert len(proxy.heads) == 1

    async def test_a_proxy_that_says_nothing_is_a_timeout(self) -> None:
        async with serve_proxy(silent=True) as proxy, behind(proxy.url) as client:
            limits = Timeouts(connect_s=0.1, first_byte_s=0.1)
            with pytest.raises(UpstreamTimeout):
                await client.send(post("https://api.test/", timeouts=limits))
            await proxy.until_open(0)

    async def test_leaving_while_the_tunnel_is_being_made_closes_it(self) -> None:
        async with serve_proxy(silent=True) as proxy, behind(proxy.url) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, post("https://api.test/"))
                while not proxy.heads:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await proxy.until_open(0)

    async def test_leaving_in_the_middle_of_an_answer_closes_the_tunnel(self) -> None:
        async with (
            serve(part_then_silence, tls=serving("api.test")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url) as client,
        ):
            with anyio.CancelScope() as scope:
                async with await client.send(post(named(upstream))) as response:
                    assert await anext(response) == b"part"
                    scope.cancel()
                    await anext(response)
            assert scope.cancelled_caught
            await proxy.until_open(0)
            await upstream.until_open(0)

    async def test_leaving_during_the_upstreams_handshake_closes_the_tunnel(self) -> None:
        async with serve(Peer.until_closed) as upstream, serve_proxy() as proxy, behind(proxy.url) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, post(named(upstream)))
                while not proxy.through:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await proxy.until_open(0)
            assert client.statistics().open == 0

    async def test_http2_is_spoken_through_the_tunnel(self) -> None:
        async with (
            serve_h2(echo, tls=serving("api.test")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url, http2=True) as client,
        ):
            for _ in range(2):
                assert await read(client, post(named(upstream), b"over h2")) == b"over h2"
            assert upstream.connects == 1
            assert len(proxy.heads) == 1


class TestKindsOfProxy:
    """Plain requests, TLS to the proxy, credentials for it."""

    async def test_plain_http_is_asked_for_by_its_whole_url(self) -> None:
        async with (
            serve(answering(plain(b"plain", b"X-Far: yes"), then_close=True)) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url) as client,
        ):
            url = f"http://api.test:{upstream.port}/v1/models?x=y"
            async with await client.send(post(url, b"body")) as response:
                assert (response.status, response.header("x-far")) == (200, "yes")
                assert await response.read() == b"plain"
            assert proxy.heads[0].startswith(b"POST " + url.encode() + b" HTTP/1.1\r\n")
            [request] = upstream.requests
            assert (request.line, request.body) == (b"POST /v1/models?x=y HTTP/1.1", b"body")
            assert request.values(b"host") == [b"api.test:%d" % upstream.port]

    async def test_tls_to_the_proxy_is_checked_before_anything_is_said(self) -> None:
        async with serve_proxy(tls=serving("elsewhere.test")) as proxy, behind(proxy.url) as client:
            with pytest.raises(UpstreamUnreachable):
                await client.send(post("https://api.test/"))
            await proxy.until_open(0)
            assert proxy.heads == []

    async def test_tls_to_the_proxy_is_trusted_like_tls_to_an_upstream(self) -> None:
        async with (
            serve(answering(plain(b"twice wrapped")), tls=serving("api.test")) as upstream,
            serve_proxy(tls=serving("localhost")) as proxy,
            behind(proxy.url) as client,
        ):
            assert await read(client, post(named(upstream))) == b"twice wrapped"
            assert len(proxy.heads) == 1

    async def test_credentials_in_the_proxys_url_are_for_the_proxy_alone(self) -> None:
        async with (
            serve(answering(plain(b"ok")), tls=serving("api.test")) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url.replace("//", "//user:p%40ss@")) as client,
        ):
            assert await read(client, post(named(upstream))) == b"ok"
            assert b"\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n" in proxy.heads[0] + b"\r\n"
            assert upstream.requests[0].values(b"proxy-authorization") == []

    async def test_credentials_go_to_the_proxy_with_plain_requests_too(self) -> None:
        async with (
            serve(answering(plain(b"ok"), then_close=True)) as upstream,
            serve_proxy() as proxy,
            behind(proxy.url.replace("//", "//user@")) as client,
        ):
            assert await read(client, post(f"http://api.test:{upstream.port}/")) == b"ok"
            assert b"\r\nProxy-Authorization: Basic dXNlcjo=\r\n" in proxy.heads[0]

    async def test_credentials_are_shown_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        refusal = plain(b"", status=b"407 Proxy Authentication Required")
        async with serve_proxy(refuses=refusal) as proxy:
            url = proxy.url.replace("//", "//hunter:hunter2@")
            async with behind(url) as client:
                with pytest.raises(UpstreamUnreachable) as caught:
                    await client.send(post("https://api.test/"))
                shown = [*traceback.format_exception(caught.value), repr(client), caplog.text]
        with pytest.raises(LocalWireError) as refused:
            GeneralClient(proxy=url + "%")
        shown += traceback.format_exception(refused.value)
        assert b"aHVudGVyOmh1bnRlcjI=" in proxy.heads[0]
        assert not [text for text in shown if "hunter2" in text or "aHVudGVyOmh1bnRlcjI" in text]
