"""The general client's engine: httpcore2's pool, kept to one call at a time on a connection.

Left to itself, httpcore2 lets calls share an HTTP/2 connection, where they share a fate: one call's timeout
fails all of them, and an answer that was given up keeps coming, because no stream is ever reset. Here a
connection carries one call at a time, whichever HTTP it speaks, and is kept only where the answer was read to
its end. After anything else, a failure, a cancellation, an answer given up, it is closed, which every
upstream understands. HTTP/2 is for upstreams that want it; it saves no connections.

Only what httpcore2 exports is used: its pool gets every connection from ``create_connection``, and knows it
by ``AsyncConnectionInterface``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

import anyio
import httpcore2
from h2.exceptions import H2Error

from callboard.errors import UpstreamUnreachable


class Engine(httpcore2.AsyncConnectionPool):
    """A pool of `OneCallConnection`; once it is closed, every call fails."""

    _shut = False

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        """A connection that will dial, directly or through the proxy, when it gets its call."""
        return OneCallConnection(super().create_connection(origin), closed=self._shut)

    async def aclose(self) -> None:
        """Close every connection; calls that wait for one fail when their turn comes."""
        self._shut = True
        await super().aclose()


class OneCallConnection(httpcore2.AsyncConnectionInterface):
    """One of httpcore2's connections, never shared.

    It is in use from its making, for the call that it is made for, until the answer was read to its end.
    Then it is idle. It is closed after anything else.
    """

    def __init__(self, inner: httpcore2.AsyncConnectionInterface, *, closed: bool) -> None:
        self._inner = inner
        self._stream: httpcore2.AsyncNetworkStream | None = None
        self._idle = False
        self._closed = closed

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request and return when the head of its answer is there; where it fails, close."""
        if self._closed:
            raise UpstreamUnreachable("the client is closed")
        self._idle = False
        with _told_as_the_wires_errors():
            try:
                raw = await self._inner.handle_async_request(request)
            except BaseException:
                await self.aclose()
                raise
        if self.is_closed():  # while it dialled, when there was nothing yet to close
            await self.aclose()
            raise UpstreamUnreachable("the client is closed")
        self._stream = raw.extensions["network_stream"]
        return httpcore2.Response(
            raw.status, headers=raw.headers, content=_Pieces(raw, self._call_over), extensions=raw.extensions
        )

    async def aclose(self) -> None:
        """Close it. Idempotent, and runs to its end under cancellation."""
        self._closed = True
        self._idle = False
        with anyio.CancelScope(shield=True):
            await self._inner.aclose()

    async def _call_over(self, raw: httpcore2.Response, whole: bool) -> None:
        """Keep the connection where its answer was read to the end and the peer keeps it too."""
        if whole and not self._closed:
            with anyio.CancelScope(shield=True):
                await raw.aclose()
            self._idle = self._inner.is_idle()
        if not self._idle:
            await self.aclose()

    def can_handle_request(self, origin: httpcore2.Origin) -> bool:
        """Whether it leads there."""
        return self._inner.can_handle_request(origin)

    def is_connected(self) -> bool:
        """Whether there is a socket."""
        return self._inner.is_connected()

    def is_available(self) -> bool:
        """Whether it can take a call."""
        return self._idle

    def is_idle(self) -> bool:
        """Whether it carries no call."""
        return self._idle

    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def has_expired(self) -> bool:
        """Whether it was idle for too long, or the peer spoke or left meanwhile.

        An HTTP/2 peer may speak (PING). It costs a handshake; a peer that left unnoticed would cost a call.
        """
        if not self._idle or self._stream is None:
            return False
        return self._inner.has_expired() or bool(self._stream.get_extra_info("is_readable"))

    def info(self) -> str:
        """What the pool's ``repr`` says about it."""
        return self._inner.info()


class _Pieces:
    """An answer's body, which tells its connection whether it was read to the end."""

    def __init__(
        self, raw: httpcore2.Response, when_over: Callable[[httpcore2.Response, bool], Awaitable[None]]
    ) -> None:
        self._raw = raw
        self._when_over = when_over
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_as_the_wires_errors():
            async with aclosing(self._raw.aiter_stream()) as pieces:
                async for piece in pieces:
                    yield piece
        self._whole = True

    async def aclose(self) -> None:
        """End the call."""
        await self._when_over(self._raw, self._whole)


@contextmanager
def _told_as_the_wires_errors() -> Iterator[None]:
    """The engine lets some errors through as they are: those of h2, and a status that is no number."""
    try:
        yield
    except (H2Error, ValueError) as error:
        raise httpcore2.RemoteProtocolError("not valid HTTP/2") from error
