"""One connection to an upstream: dialled through the guard, with TLS where the origin asks for it.

Closing never waits for the peer: there is no TLS goodbye and no lingering, the socket is simply closed.
"""

from __future__ import annotations

import select
import ssl
import sys

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from callboard.errors import UpstreamTimeout, UpstreamUnreachable
from callboard.transport.guard import DialGuard
from callboard.transport.outgoing import Origin

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
"""What an operation on a stream raises when the connection is gone (``ssl.SSLError`` is an ``OSError``)."""

# As much as asyncio reads at once: anything smaller would be split and queued again behind our back.
RECEIVE_BYTES = 256 * 1024


class Connection:
    """An open stream and what the pool has to know about it.

    Attributes:
        stream: Where bytes go; plain TCP or TLS on top of it.
        idle_since: When its last answer ended, in ``time.monotonic`` seconds.
    """

    __slots__ = ("_descriptor", "_poll", "_socket_stream", "idle_since", "stream")

    def __init__(self, stream: ByteStream, socket_stream: SocketStream) -> None:
        self.stream = stream
        self.idle_since = 0.0
        self._socket_stream = socket_stream
        self._descriptor = socket_stream.extra(SocketAttribute.raw_socket).fileno()  # noqa: S610 - no Django
        if sys.platform != "win32":
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether the idle peer has sent nothing: no end of stream, no reset, no unasked bytes."""
        if sys.platform == "win32":
            return not select.select([self._descriptor], [], [], 0)[0]
        return not self._poll.poll(0)

    async def aclose(self) -> None:
        """Close the socket at once, also under cancellation."""
        with anyio.CancelScope(shield=True):
            await self._socket_stream.aclose()


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
        plain = await _connect_to_any(addresses, origin.port, deadline)
        if tls is None:
            return Connection(plain, plain)
        return Connection(await _wrap(plain, origin.host, tls), plain)
    raise UpstreamTimeout("connecting to the upstream took too long")


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


async def _connect_to_any(addresses: tuple[str, ...], port: int, deadline: float) -> SocketStream:
    """Try the addresses in order; each gets its share of the time, so that a dead one does not eat it all."""
    last_error: OSError | None = None
    for position, address in enumerate(addresses):
        share = (deadline - anyio.current_time()) / (len(addresses) - position)
        with anyio.move_on_after(share):
            try:
                # asyncio, uvloop and trio all set TCP_NODELAY on the sockets they connect.
                return await anyio.connect_tcp(address, port)
            except OSError as error:
                last_error = error
    if last_error is None:
        raise UpstreamTimeout("connecting to the upstream took too long")
    raise UpstreamUnreachable("no connection to the upstream could be made") from last_error
