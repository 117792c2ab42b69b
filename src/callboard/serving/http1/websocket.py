"""A WebSocket on a connection of our own server.

The connection hands over bytes as they come; the task that receives parses them, a little at a time, so that
others go on while somebody sends very small frames. What is not parsed yet is bounded: then the client is not
read. wsproto does the grammar.

A client that has not been heard for a while is pinged, and one that does not answer is gone.

Source: RFC 6455, 5 (framing), 5.5.3 (only the latest of several pings has to be answered), 7 (closing).
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from asyncio.events import TimerHandle
from collections import deque
from typing import Protocol

from anyio.lowlevel import checkpoint
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from callboard.serving.exchange import ClientGone
from callboard.serving.socket import NOT_TEXT, POLICY, TOO_BIG, Socket

EARLY_BYTES = 64 * 1024
"""So much is taken in before it is parsed; then the connection is not read."""

STEP_BYTES = 4 * 1024
"""So much is parsed at once."""

CRUMB_BYTES, CRUMBS = 64, 16 * 1024
"""More frames than this that are smaller than that, in the life of a socket, are an attack: each costs as
much as a whole one. Pings and pongs count; one a second for an hour is far less."""


class Wire(Protocol):
    """What a socket needs of its connection.

    Attributes:
        clogged: Where the client has to read before more is written, what to wait for.
    """

    clogged: Future[None] | None

    def write(self, data: bytes) -> None:
        """Hand over bytes for the client."""

    def pause(self) -> None:
        """Read nothing more from the client for now."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """End the connection now."""


class Http1Socket(Socket):
    """See `Socket`, and the module's docstring.

    Args:
        wire: The connection.
        early: What has come behind the handshake already.
        ping_s: After how long a silent client is pinged, and how long it may take to answer.
    """

    __slots__ = (
        "_arrived",
        "_crumbs",
        "_early",
        "_early_bytes",
        "_ended",
        "_frames",
        "_heard",
        "_limit",
        "_loop",
        "_message",
        "_message_bytes",
        "_owed",
        "_ping_s",
        "_ready",
        "_retired",
        "_timer",
        "_wire",
    )

    def __init__(self, wire: Wire, early: bytes, ping_s: float) -> None:
        self._wire = wire
        self._ping_s = ping_s
        self._loop = asyncio.get_running_loop()
        self._timer: TimerHandle | None = None
        self._frames = Frames(ConnectionType.SERVER)
        self._limit = 0
        self._early = bytearray(early)
        self._arrived: Future[None] | None = None  # the receiver waits for it
        self._heard = True
        self._message: list[bytes] = []
        self._message_bytes = 0
        self._ready: deque[bytes] = deque()
        self._crumbs = 0
        self._owed: Ping | None = None  # not answered yet, because the client does not read
        self._retired = False
        self._ended = False

    def begin(self, limit: int) -> None:
        """The handshake is done; messages may have ``limit`` bytes."""
        self._limit = limit
        if not self._ended:
            self._timer = self._loop.call_later(self._ping_s, self._look_after)

    # --- the connection's side ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._heard = True
        if not self._ended:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self._wire.pause()
            self._wake()

    def end(self) -> None:
        """The connection is gone, or nothing more is wanted of it."""
        self._ended = True
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def retire(self) -> None:
        """The client shall leave."""
        self._retired = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _look_after(self) -> None:
        """Ping a client that is silent; give up on one that was pinged and still is."""
        # Who does not read cannot be pinged, and who is not read cannot answer: others see to those.
        if self._wire.clogged is None and not self._early:
            if not self._heard:
                self._wire.abort()
                return
            self._heard = False
            self._wire.write(self._frames.send(Ping()))
        self._timer = self._loop.call_later(self._ping_s, self._look_after)

    # --- the application's side -----------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """See `Socket.receive`."""
        while True:
            if self._ready:
                return self._ready.popleft()
            if self._ended:
                raise ClientGone
            if self._retired:
                self._retired = False
                return None
            if self._early:
                self._parse(self._step())
                await checkpoint()
            else:
                self._wire.resume()
                self._arrived = self._loop.create_future()
                await self._arrived

    async def send(self, *texts: bytes) -> None:
        """See `Socket.send`. All of the messages are one write."""
        if self._ended:
            raise ClientGone
        self._wire.write(b"".join([self._frames.send(TextMessage(data=text.decode())) for text in texts]))
        if self._wire.clogged is not None:
            await asyncio.shield(self._wire.clogged)  # there are two tasks that may wait
            self._answer_ping()

    async def close(self, code: int, reason: str) -> None:
        """See `Socket.close`. What is written reaches the client; nobody waits for it here."""
        self._close(code, reason)

    # --- inside ---------------------------------------------------------------------------------------------

    def _step(self) -> bytes:
        step = bytes(self._early[:STEP_BYTES])
        del self._early[:STEP_BYTES]
        return step

    def _parse(self, data: bytes) -> None:
        self._frames.receive_data(data)
        for event in self._frames.events():
            self._take(event)
            if self._ended:
                return

    def _take(self, event: Event) -> None:
        match event:
            case TextMessage():
                self._take_text(event.data.encode(), last=event.message_finished)
            case Ping():
                self._count_crumb()
                self._owed = event
                self._answer_ping()
            case Pong():
                self._count_crumb()
            case BytesMessage():
                self._close(NOT_TEXT, "Messages have to be text.")
            case CloseConnection():
                # The client's own goodbye, or what wsproto has to say of frames that break the protocol.
                self._close(event.code, event.reason or "")
            case _:
                pass

    def _take_text(self, piece: bytes, *, last: bool) -> None:
        if len(piece) < CRUMB_BYTES and not last:
            self._count_crumb()
        self._message.append(piece)
        self._message_bytes += len(piece)
        if self._message_bytes > self._limit:
            self._close(TOO_BIG, f"The message exceeds {self._limit} bytes.")
        elif last:
            self._ready.append(b"".join(self._message))
            self._message = []
            self._message_bytes = 0

    def _count_crumb(self) -> None:
        self._crumbs += 1
        if self._crumbs > CRUMBS:
            self._close(POLICY, "The frames are too many and too small.")

    def _answer_ping(self) -> None:
        if self._owed is not None and not self._ended and self._wire.clogged is None:
            self._wire.write(self._frames.send(self._owed.response()))
            self._owed = None

    def _close(self, code: int, reason: str) -> None:
        if self._ended:
            return
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._wire.write(self._frames.send(CloseConnection(code=code, reason=reason or None)))
        self.end()
