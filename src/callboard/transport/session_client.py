"""An httpx2 client for libraries that want one, over the guarded network, with limits.

Nothing of what such a client does by itself is left on: no environment, no redirects, no compression. It goes
to one origin, the operator's, and sends its headers nowhere else.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from ipaddress import ip_address

import httpcore2
import httpx2

from callboard.errors import UpstreamError
from callboard.transport.guard import DialGuard
from callboard.transport.network import GuardedNetwork

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of an answer that is no event stream; of those each event is bounded where it is read."""

CONNECT_S = 5.0


def session_client(
    url: str, *, headers: Mapping[str, str], allow_private: bool | None, idle_s: float
) -> httpx2.AsyncClient:
    """A client for the server at ``url``; whoever enters it closes it.

    Args:
        url: Its origin is where the client may go.
        headers: For every request.
        allow_private: Whether the host may resolve to a private address; None where ``url`` shows that it is
            one: a literal address, or a name without a dot.
        idle_s: The longest pause within an answer.
    """
    return httpx2.AsyncClient(
        transport=GuardedTransport(httpx2.URL(url), allow_private),
        headers={"accept-encoding": "identity", **headers},
        timeout=httpx2.Timeout(idle_s, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Takes requests of httpx2 to one origin, through the dial guard.

    Args:
        url: The origin; path and query are not looked at.
        allow_private: See `session_client`.
    """

    def __init__(self, url: httpx2.URL, allow_private: bool | None) -> None:
        self._origin = _origin(url)
        host = url.host
        if allow_private is None:
            allow_private = "." not in host or _is_address(host)
        guard = DialGuard().also_allowing(host, self._origin[2]) if allow_private else DialGuard()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            keepalive_expiry=30.0,
            network_backend=GuardedNetwork(guard),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer's body is read on demand."""
        if _origin(request.url) != self._origin:
            raise httpx2.UnsupportedProtocol("the server may not lead us to another one", request=request)
        if not isinstance(request.stream, httpx2.AsyncByteStream):
            raise httpx2.LocalProtocolError("a body that cannot be sent", request=request)
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        raw = httpcore2.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _told_as_httpx2s():
            answer = await self._pool.handle_async_request(raw)
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """An answer's body: bounded, unless it is a stream of events."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer
        kinds = [value for name, value in answer.headers if name.lower() == b"content-type"]
        self._endless = any(kind.lower().startswith(b"text/event-stream") for kind in kinds)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        came = 0
        with _told_as_httpx2s():
            async with aclosing(self._answer.aiter_stream()) as pieces:
                async for piece in pieces:
                    came += len(piece)
                    if came > MAX_BODY_BYTES and not self._endless:
                        raise httpx2.ReadError(f"an answer of more than {MAX_BODY_BYTES >> 20} MiB")
                    yield piece

    async def aclose(self) -> None:
        """Give the connection back, or up."""
        await self._answer.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@contextmanager
def _told_as_httpx2s() -> Iterator[None]:
    """httpx2's exceptions for those of the engine below it, and for the guard's."""
    try:
        yield
    except UpstreamError as error:
        raise httpx2.ConnectError(str(error)) from error
    except httpcore2.TimeoutException as error:
        raise httpx2.ReadTimeout("the server did not answer in time") from error
    except httpcore2.ConnectError as error:
        raise httpx2.ConnectError("no connection could be made") from error
    except httpcore2.ProtocolError as error:
        raise httpx2.RemoteProtocolError("the server does not speak HTTP, or left") from error
    except httpcore2.NetworkError as error:
        raise httpx2.ReadError("the connection broke") from error
