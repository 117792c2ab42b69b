"""The general client: httpcore2, the engine of httpx2, for proxies, HTTP/2 and everything unusual.

The engine is used without httpx2's front: what the front adds (redirects, cookies, the environment, unbounded
decompression) is what we must not have. Requests are checked and answers decoded by the same code as on the
fast path. A connection carries one call at a time, over HTTP/2 too: see `callboard.transport.engine`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
import httpcore2

from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from callboard.transport.answer import Answer
from callboard.transport.engine import Engine
from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpRequest, Limits
from callboard.transport.network import GuardedNetwork, answered_before_asked
from callboard.transport.outgoing import Origin, Outgoing, prepare
from callboard.transport.proxy import parse_proxy
from callboard.transport.upload import Uploading

EMPTY_PIECES = 1000
"""Frames without content that are accepted in a row; an honest upstream sends one at the end, if any."""

_ENGINE_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
)
# The engine tells a cut connection from bad HTTP only by its words; the contract suite pins each of them.
_CUT = (
    "Server disconnected",
    "peer closed connection",
    "peer unexpectedly closed",
    "<StreamReset",
    "<ConnectionTerminated",
)
# Source: RFC 9110 section 5.5 and 5.6.2. h11 sees to it, h2 is told by the engine not to.
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class GeneralClient:
    """An :class:`~callboard.transport.http.HttpClient` for everything the fast one does not speak.

    It never repeats a request, whatever ``idempotent`` says: connections that the peer closed while they were
    idle are noticed before they are used, and the rest is the caller's to decide. The one exception is a
    request that an HTTP/2 peer says it has not looked at, taking its leave (RFC 9113 section 8.7).
    """

    def __init__(  # noqa: PLR0913 - settings, all named and optional
        self,
        *,
        max_connections: int = 100,
        limits: Limits | None = None,
        guard: DialGuard | None = None,
        idle_expiry_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        http2: bool = False,
        proxy: str | None = None,
    ) -> None:
        """Make a client; nothing is connected yet.

        Args:
            max_connections: Open connections to all hosts together; further calls wait.
            limits: What is accepted of an answer.
            guard: Where we may dial; by default the public internet. With a proxy it judges the proxy, which
                resolves the upstream's name itself: a proxy is trusted to keep to its own rules.
            idle_expiry_s: Kept connections are closed after this long without a call.
            tls: Context for https, to upstreams and to the proxy alike; by default the system's trust store.
                It becomes the client's: its ALPN protocols are set for each handshake.
            http2: Offer HTTP/2 in the TLS handshake. Calls do not share connections over it.
            proxy: URL of an HTTP proxy, ``http`` or ``https``. Its host counts as named by the operator. A
                user and password in it, percent-encoded, are sent to the proxy and to nobody else, as Basic
                credentials.

        Raises:
            LocalWireError: The proxy's URL is not one.
        """
        guard = guard or DialGuard()
        tls = tls or ssl.create_default_context()
        way: httpcore2.Proxy | None = None
        if proxy is not None:
            origin, credentials = parse_proxy(proxy)
            guard = guard.also_allowing(origin.host, origin.port)
            way = httpcore2.Proxy(_engine_url(origin, origin.host), auth=credentials, ssl_context=tls)
        self._proxied = way is not None
        self._limits = limits or Limits()
        self._pool = Engine(
            ssl_context=tls,
            max_connections=max_connections,
            keepalive_expiry=idle_expiry_s,
            http2=http2,
            proxy=way,
            network_backend=GuardedNetwork(guard),
        )
        self._calls = 0

    async def send(self, request: HttpRequest) -> Answer:
        """Send a request; see the protocol."""
        outgoing = prepare(request)
        deadline = anyio.current_time() + request.timeouts.total_s
        times = request.timeouts
        # The engine reads "read" when it starts on the head and again when it starts on the body.
        limits_s = {
            "connect": times.connect_s, "pool": times.total_s, "write": times.idle_s, "read":
            times.first_byte_s,
        }  # fmt: skip
        self._calls += 1
        body = None
        try:
            with anyio.CancelScope(deadline=deadline):
                raw = await self._call(outgoing, limits_s)
                body = _Body(raw, deadline, self._call_over)
                limits_s["read"] = times.idle_s
                return self._answer(raw, body, request)
        except BaseException:
            if body is None:
                self._call_over()
            else:
                await body.aclose()
            raise
        self._call_over()
        raise UpstreamTimeout("the upstream did not answer in time")

    async def aclose(self) -> None:
        """Close every connection; calls under way and later ones fail."""
        with anyio.CancelScope(shield=True):
            await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def statistics(self) -> ClientStatistics:
        """The connections now."""
        connections = [connection for connection in self._pool.connections if not connection.is_closed()]
        idle = sum(connection.is_idle() for connection in connections)
        in_use = len(connections) - idle
        return ClientStatistics(
            open=len(connections), idle=idle, in_use=in_use, waiting=max(0, self._calls - in_use)
        )

    def _call_over(self) -> None:
        self._calls -= 1

    async def _call(self, outgoing: Outgoing, limits_s: dict[str, float]) -> httpcore2.Response:
        origin = outgoing.origin
        # A proxy reads host and port from one text, in which an IPv6 address stands in brackets.
        host = f"[{origin.host}]" if self._proxied and ":" in origin.host else origin.host
        url = _engine_url(origin, host, outgoing.target)
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in outgoing.fields]
        extensions = {"timeout": limits_s, "sni_hostname": origin.host}
        body = outgoing.body if outgoing.upload is None else Uploading(outgoing.upload)
        call = httpcore2.Request(outgoing.method, url, headers=fields, content=body, extensions=extensions)
        try:
            return await self._pool.handle_async_request(call)
        except _ENGINE_ERRORS as error:
            raise _translate(error, begun=False) from error

    def _answer(self, raw: httpcore2.Response, body: _Body, request: HttpRequest) -> Answer:
        if raw.status < 200:
            raise RemoteWireError("the upstream switched protocols unasked")
        if answered_before_asked(raw):
            raise RemoteWireError("the upstream sent an answer before it was asked")
        if len(raw.headers) > self._limits.header_count:
            raise RemoteWireError("the upstream's answer has more headers than allowed")
        if sum(len(name) + len(value) for name, value in raw.headers) > self._limits.header_bytes:
            raise RemoteWireError("the upstream's answer has more header bytes than allowed")
        if not all(_FIELD.fullmatch(name + b":" + value) for name, value in raw.headers):
            raise RemoteWireError("a header of the upstream's answer holds characters that HTTP forbids")
        fields = [(name.lower(), value) for name, value in raw.headers]
        return Answer(
            raw.status, fields, body, self._limits, bodiless=request.method == "HEAD", raw=request.raw
        )


class _Body:
    """The raw body of an answer from the engine."""

    def __init__(self, raw: httpcore2.Response, deadline: float, when_over: Callable[[], None]) -> None:
        self._raw = raw
        self._pieces = raw.aiter_stream()
        self._deadline = deadline
        self._when_over = when_over
        self._broken = False
        self.over = False
        self.left = b""

    async def receive(self) -> bytes:
        """The next raw piece; empty at the end."""
        if self.over:
            return b""
        if self._broken:
            raise StreamIncomplete("the answer was abandoned before its end")
        # A cancel scope alone is not enough: a peer that always has a byte ready can outrun its cancellation.
        if anyio.current_time() >= self._deadline:
            raise UpstreamTimeout("the upstream's answer took too long as a whole")
        # The engine's iterator is finished by any error or cancellation and would then look like a good end.
        self._broken = True
        with anyio.CancelScope(deadline=self._deadline):
            try:
                piece = await self._next()
            except _ENGINE_ERRORS as error:
                raise _translate(error, begun=True) from error
            self._broken = False
            if not piece:
                await self.aclose()
            return piece
        raise UpstreamTimeout("the upstream's answer took too long as a whole")

    async def _next(self) -> bytes:
        """The next piece of the engine's that is not empty; empty at the end."""
        for _ in range(EMPTY_PIECES):
            piece = await anext(self._pieces, None)
            if piece is None:
                return b""
            if piece:
                return piece
        raise RemoteWireError("the upstream sends frames without content")

    async def aclose(self) -> None:
        """Close the connection unless it was given back."""
        if not self.over:
            self.over = True
            self._when_over()
            with anyio.CancelScope(shield=True):
                await self._pieces.aclose()
                await self._raw.aclose()


def _engine_url(origin: Origin, host: str, target: str = "/") -> httpcore2.URL:
    return httpcore2.URL(
        scheme=b"https" if origin.secure else b"http",
        host=host.encode("ascii"),
        port=None if origin.is_default_port else origin.port,
        target=target.encode("ascii"),
    )


def _translate(error: Exception, *, begun: bool) -> UpstreamError:
    """The tree's error for one of the engine's.

    Args:
        error: What the engine raised.
        begun: Whether the head of the answer was complete.
    """
    if isinstance(error, httpcore2.TimeoutException):
        return UpstreamTimeout("the upstream did not answer in time")
    cut = isinstance(error, httpcore2.NetworkError) or str(error).startswith(_CUT)
    if not cut and isinstance(error, httpcore2.ProtocolError):
        return RemoteWireError("the upstream's answer is not valid HTTP")
    if begun:
        return StreamIncomplete("the connection broke before the upstream's answer was complete")
    return UpstreamUnreachable("the connection to the upstream could not be made or broke before it answered")
