"""The client that libraries get: to origins that are named, through the guard, within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream

from callboard.transport.session_client import MAX_BODY_BYTES, fault_elsewhere, session_client

pytestmark = pytest.mark.anyio

PLAIN = "application/json"
EVENTS = "text/event-stream"


class Server:
    """Answers every request alike, and keeps what it was sent."""

    def __init__(self, *, kind: str = PLAIN, body: int = 2, status: str = "200 OK", extra: str = "") -> None:
        self.heads: list[str] = []
        self._head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {body}\r\n{extra}\r\n"
        self._body = body

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            try:
                self.heads.append((await stream.receive()).decode())
                await stream.send(self._head.encode())
                for _ in range(self._body // 65536):
                    await stream.send(b"x" * 65536)
                await stream.send(b"x" * (self._body % 65536))
                await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}/mcp"
        tasks.cancel_scope.cancel()


class Asking(httpx2.Auth):
    """Asks somebody else for a token."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        answer = yield httpx2.Request("GET", self._url)
        request.headers["authorization"] = f"Bearer {(await answer.aread()).decode()}"
        yield request


def client_for(
    url: str, *, allow_private: bool | None = None, issuers: tuple[str, ...] = (), asking: str = ""
) -> httpx2.AsyncClient:
    return session_client(
        url,
        headers={"X-Key": "s3cret"},
        allow_private=allow_private,
        idle_s=5,
        issuers=issuers,
        auth=Asking(asking) if asking else None,
    )


async def test_it_sends_its_headers_and_asks_for_nothing_compressed() -> None:
    server = Server()
    with anyio.fail_after(5):
        async with serving(server) as url, client_for(url) as client:
            answer = await client.post(url, json={"a": 1})
            assert (answer.status_code, answer.text) == (200, "xx")
    (head,) = server.heads
    assert "x-key: s3cret" in head.lower()
    assert "accept-encoding: identity" in head.lower()


async def test_it_goes_to_its_own_origin_only() -> None:
    server, other = Server(), Server()
    with anyio.fail_after(5):
        async with serving(server) as url, serving(other) as elsewhere, client_for(url) as client:
            with pytest.raises(httpx2.UnsupportedProtocol) as refusal:
                await client.get(f"{elsewhere}?code=s3cret")
    origin = elsewhere.removesuffix("/mcp")
    assert str(refusal.value) == f"it leads to {origin}, which `issuers` does not name"
    assert fault_elsewhere(refusal.value, url) == str(refusal.value)
    assert other.heads == []


async def test_an_issuer_that_is_named_may_be_asked_and_gets_none_of_its_headers() -> None:
    server, issuer = Server(), Server()
    with anyio.fail_after(5):
        async with serving(server) as url, serving(issuer) as there:
            issuers = ("http://127.0.0.1:1", there)
            async with client_for(url, issuers=issuers, asking=f"{there}/token") as client:
                assert (await client.get(url)).status_code == 200
    assert "authorization: bearer xx" in server.heads[0].lower()
    assert "x-key: s3cret" in server.heads[0].lower()
    assert issuer.heads[0].startswith("GET /mcp/token ")
    assert "s3cret" not in issuer.heads[0]


async def test_an_issuer_is_dialled_through_the_guard_too() -> None:
    server, issuer = Server(), Server()
    with anyio.fail_after(5):
        async with serving(server) as url, serving(issuer) as there:
            issuers = (there,)
            async with client_for(url, issuers=issuers, asking=there, allow_private=False) as client:
                with pytest.raises(httpx2.ConnectError, match="not one this server may connect to"):
                    await client.get(url)
    assert (server.heads, issuer.heads) == ([], [])


async def test_what_goes_wrong_at_an_issuer_is_told_with_its_origin() -> None:
    with anyio.fail_after(5):
        async with serving(Server()) as there:
            pass
        async with serving(Server()) as url, client_for(url, issuers=(there,), asking=there) as client:
            with pytest.raises(httpx2.ConnectError) as failure:
                await client.get(url)
    origin = there.removesuffix("/mcp")
    assert fault_elsewhere(failure.value, url) == f"{origin}: no connection could be made"
    assert fault_elsewhere(failure.value, there) is None
    assert fault_elsewhere(ValueError(), url) is None


async def test_a_redirect_is_not_followed() -> None:
    server = Server(status="307 Temporary Redirect", extra="location: http://169.254.169.254/\r\n")
    with anyio.fail_after(5):
        async with serving(server) as url, client_for(url) as client:
            assert (await client.get(url)).status_code == 307


async def test_a_private_address_has_to_be_named() -> None:
    server = Server()
    with anyio.fail_after(5):
        async with serving(server) as url, client_for(url, allow_private=False) as client:
            with pytest.raises(httpx2.ConnectError, match="not one this server may connect to"):
                await client.get(url)
    assert server.heads == []


async def test_an_answer_is_bounded_unless_it_is_a_stream_of_events_that_was_asked_for() -> None:
    size, accept = MAX_BODY_BYTES + 65536, {"accept": f"{PLAIN}, {EVENTS}"}
    with anyio.fail_after(10):
        async with serving(Server(body=size)) as url, client_for(url) as client:
            with pytest.raises(httpx2.ReadError, match="more than 8 MiB"):
                await client.get(url, headers=accept)
        async with serving(Server(body=size, kind=EVENTS)) as url, client_for(url) as client:
            assert len((await client.get(url, headers=accept)).content) == size
        async with serving(Server(body=size, kind=EVENTS)) as url, client_for(url) as client:
            with pytest.raises(httpx2.ReadError, match="more than 8 MiB"):
                await client.get(url)
        refusing = Server(body=size, kind=EVENTS, status="401 Unauthorized")
        async with serving(refusing) as url, client_for(url) as client:
            with pytest.raises(httpx2.ReadError, match="more than 8 MiB"):
                await client.get(url, headers=accept)


async def test_nobody_there_is_a_connection_error() -> None:
    with anyio.fail_after(5):
        async with serving(Server()) as url:
            pass
        async with client_for(url) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(url)
