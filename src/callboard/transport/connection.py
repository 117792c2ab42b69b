"""A connection to an upstream as the pool sees it, and how it is made: through the guard, with TLS on demand.

There are two kinds. `LoopConnection` speaks to asyncio's transports directly and is what plain HTTP gets on
asyncio; `StreamConnection` is for TLS and for every other event loop. Both pass the same tests. Closing never
waits for the peer: there is no TLS goodbye and no lingering, the socket is simply closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

from callboard.errors import UpstreamTimeout, UpstreamUnreachable
from callboard.transport.guard import DialGuard
from callboard.transport.h1 import AnswerParser
from callboard.transport.http import Limits, Timeouts, Upload
from callboard.transport.loop_connection import connect_on_loop
from callboard.transport.outgoing import Origin
from callboard.transport.stream_connection import BROKEN, StreamConnection

C = TypeVar("C")


class Exchange(Protocol):
    """One request and its answer on one connection.

    Attributes:
        parser: Reads the answer.
    """

    parser: AnswerParser

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the connection can carry another request."""

    async def begin(self, head: bytes, body: bytes, upload: Upload | None = None) -> None:
        """Write the request, both parts of it, and read until the head of the answer is complete.

        An answer that arrives before the whole body was written ends the writing.

        Args:
            head: Down to the empty line.
            body: As a whole; empty where there is an ``upload``.
            upload: The body instead, where it is sent as it comes.

        Raises:
            UpstreamUnreachable: The connection broke before the head was complete.
            UpstreamTimeout: ``first_byte_s``, ``total_s``, or ``idle_s`` while a large body was written.
            RemoteWireError: The answer is not HTTP or its head too large.
        """

    async def receive_more(self) -> None:
        """Return when more of the answer was parsed.

        Raises:
            StreamIncomplete: The connection broke before the body was complete.
            UpstreamTimeout: ``idle_s`` or ``total_s`` passed.
            RemoteWireError: The framing is broken.
        """


class Connection(Protocol):
    """An open connection.

    Attributes:
        idle_since: When its last answer ended, on the event loop's clock.
    """

    idle_since: float

    @property
    def raw_socket(self) -> socket.socket:
        """The socket, to look at."""

    def exchange(self, limits: Limits, timeouts: Timeouts, *, bodiless: bool, deadline: float) -> Exchange:
        """One call on this connection; one at a time.

        Args:
            limits: What is accepted of the answer.
            timeouts: How long it may take.
            bodiless: True for answers to HEAD, whose headers describe a body that is not sent.
            deadline: The whole call's, on the event loop's clock.
        """

    def is_quiet(self) -> bool:
        """Whether the idle peer has sent nothing: no end of stream, no reset, no unasked bytes."""

    async def aclose(self) -> None:
        """Close the socket at once, also under cancellation."""


async def dial(origin: Origin, guard: DialGuard, tls: ssl.SSLContext | None, deadline: float) -> Connection:
    """Connect to an origin, at an address that the guard has judged.

    Args:
        origin: Whom to connect to; its name is used for TLS.
        guard: Resolves the name.
        tls: Context for the handshake; None for plain TCP.
        deadline: On the event loop's clock, for everything together.

    Raises:
        UpstreamUnreachable: No address accepts, the guard forbids it, or the TLS handshake fails.
        UpstreamTimeout: The deadline passed.
    """
    with anyio.CancelScope(deadline=deadline):
        addresses = await guard.addresses(origin.host, origin.port)
        if tls is not None:
            plain = await _try_each(addresses, origin.port, deadline, anyio.connect_tcp)
            return StreamConnection(await _wrap(plain, origin.host, tls), plain)
        if on_asyncio():
            return await _try_each(addresses, origin.port, deadline, connect_on_loop)
        plain = await _try_each(addresses, origin.port, deadline, anyio.connect_tcp)
        return StreamConnection(plain, plain)
    raise UpstreamTimeout("connecting to the upstream took too long")


def on_asyncio() -> bool:
    """Whether the running event loop is asyncio's, or one of its kind."""
    try:
        # Under trio as a guest of asyncio there is a running loop, but no current task.
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _wrap(plain: SocketStream, host: str, tls: ssl.SSLContext) -> TLSStream:
    """Shake hands, or close the socket."""
    try:
        # "Standard compatible" tells a closed answer from a cut one: without it anybody on the path could end
        # a body that lasts until close (RFC 9112 section 9.8). We close the socket below, so it never waits.
        return await TLSStream.wrap(plain, hostname=host, ssl_context=tls, standard_compatible=True)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await plain.aclose()
        if isinstance(error, (*BROKEN, anyio.EndOfStream)):
            raise UpstreamUnreachable("no TLS connection to the upstream could be made") from error
        raise


async def _try_each(
    addresses: tuple[str, ...], port: int, deadline: float, connect: Callable[[str, int], Awaitable[C]]
) -> C:
    """Try the addresses in order; each gets its share of the time, so that a dead one does not eat it all."""
    last_error: OSError | None = None
    for position, address in enumerate(addresses):
        share = (deadline - anyio.current_time()) / (len(addresses) - position)
        with anyio.move_on_after(share):
            try:
                # asyncio, uvloop and trio all set TCP_NODELAY on the sockets they connect.
                return await connect(address, port)
            except OSError as error:
                last_error = error
    if last_error is None:
        raise UpstreamTimeout("connecting to the upstream took too long")
    raise UpstreamUnreachable("no connection to the upstream could be made") from last_error
