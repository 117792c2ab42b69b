"""An httpx2 client for libraries that want one, over the guarded network, with limits.

Nothing of what such a client does by itself is left on: no environment, no redirects, no compression. It goes
to the origins that the operator named: the server's, and those of the authorization servers that may give
tokens for it. Its headers go to the server alone: what an `Auth` asks for on the way is a request of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

import anyio
import httpcore2
import httpx2
from httpx2 import Auth, Request, Response

from callboard.errors import UpstreamError
from callboard.transport.guard import DialGuard, looks_private
from callboard.transport.network import GuardedNetwork

__all__ = [
    "Auth",
    "ForeignOrigin",
    "GuardedTransport",
    "Request",
    "Response",
    "fault_elsewhere",
    "session_client",
]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of an answer that is no event stream; of those each event is bounded where it is read."""

CONNECT_S = 5.0

AUTH_S = 10.0
"""For a request of an `Auth` and all of its answer: such requests are made past the client and its limits."""


class ForeignOrigin(httpx2.UnsupportedProtocol):
    """Somewhere that the operator has not named; the message says where."""


def session_client(
    url: str,
    *,
    headers: Mapping[str, str],
    allow_private: bool | None,
    idle_s: float,
    issuers: Sequence[str] = (),
    auth: Auth | None = None,
) -> httpx2.AsyncClient:
    """A client for the server at ``url``; whoever enters it closes it.

    Args:
        url: Its origin is where the client may go.
        headers: For every request to it.
        allow_private: Whether the hosts may resolve to private addresses; None where their URLs show that
            they do: a literal address, or a name without a dot.
        idle_s: The longest pause within an answer.
        issuers: URLs whose origins ``auth`` may send requests to.
        auth: Signs the requests.
    """
    return httpx2.AsyncClient(
        transport=GuardedTransport([httpx2.URL(each) for each in (url, *issuers)], allow_private),
        headers={"accept-encoding": "identity", **headers},
        timeout=httpx2.Timeout(idle_s, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
        auth=auth,
    )


def fault_elsewhere(error: BaseException, url: str) -> str | None:
    """What went wrong at another origin than that of ``url``, and at which; None where nothing did."""
    if isinstance(error, ForeignOrigin):
        return str(error)
    if not isinstance(error, httpx2.TransportError):
        return None
    try:
        where = error.request.url
    except RuntimeError:  # it belongs to no request
        return None
    return None if _origin(where) == _origin(httpx2.URL(url)) else f"{_named(where)}: {error}"


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Takes requests of httpx2 to some origins, through the dial guard.

    Args:
        urls: The origins; path and query are not looked at.
        allow_private: See `session_client`.
    """

    def __init__(self, urls: Sequence[httpx2.URL], allow_private: bool | None) -> None:
        self._origins = frozenset(_origin(url) for url in urls)
        guard = DialGuard()
        for _, host, port in self._origins:
            if looks_private(host) if allow_private is None else allow_private:
                guard = guard.also_allowing(host, port)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            keepalive_expiry=30.0,
            network_backend=GuardedNetwork(guard),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer's body is read on demand.

        What an `Auth` asks for is read at once, and whoever cancels that waits for it: a token that can be
        used once has been used, and the answer has the next one.
        """
        if "timeout" in request.extensions:
            return await self._send(request)
        with anyio.move_on_after(AUTH_S, shield=True):
            answer = await self._send(request)
            await answer.aread()
            return answer
        raise httpx2.ReadTimeout(f"no answer within {AUTH_S:g} s", request=request)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) not in self._origins:
            words = f"it leads to {_named(request.url)}, which `issuers` does not name"
            raise ForeignOrigin(words, request=request)
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
        wanted = "text/event-stream" in request.headers.get("accept", "")
        body = _Body(answer, may_be_endless=wanted and answer.status == 200)
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=body, extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """An answer's body: bounded, unless it is a stream of events, and whoever asked can read one."""

    def __init__(self, answer: httpcore2.Response, *, may_be_endless: bool) -> None:
        self._answer = answer
        kinds = [value for name, value in answer.headers if name.lower() == b"content-type"]
        events = any(kind.lower().startswith(b"text/event-stream") for kind in kinds)
        self._endless = may_be_endless and events

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


def _named(url: httpx2.URL) -> str:
    """A URL's origin as one writes it."""
    return str(url.copy_with(userinfo=b"", path="/", query=None, fragment=None)).rstrip("/")


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
