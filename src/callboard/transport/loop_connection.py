"""A connection on asyncio's own transports: what plain HTTP gets there, at a third of a stream's price.

The event loop hands bytes to the parser as they come, and the call waits on one future. A reader that falls
behind pauses the socket. Time limits cost no scopes: one lazy timer for each connection keeps all of them.
"""

from __future__ import annotations

import asyncio
import math
import socket
from typing import NoReturn

import anyio

from callboard.errors import StreamIncomplete, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from callboard.transport.h1 import AnswerParser
from callboard.transport.http import Limits, Timeouts, Upload
from callboard.transport.patience import Patience
from callboard.transport.quiet import Quiet
from callboard.transport.upload import Uploading

AHEAD_BYTES = 256 * 1024
"""So much of an answer is taken in before anybody asks for it; then the socket is not read."""

JOINED_BYTES = 64 * 1024
"""Written at once. Larger bodies are written as the peer takes them, while we listen."""


async def connect_on_loop(address: str, port: int) -> LoopConnection:
    """Connect to a literal address.

    Raises:
        OSError: It does not accept.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: LoopConnection(loop), address, port)
    return connection


class LoopConnection(asyncio.Protocol):
    """See `callboard.transport.connection.Connection`.

    Attributes:
        patience: Keeps the time limits of the call under way.
    """

    __slots__ = (
        "_clogged",
        "_exchange",
        "_parser",
        "_quiet",
        "_transport",
        "closed",
        "idle_since",
        "loop",
        "patience",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.idle_since = 0.0
        self.closed = False
        self.loop = loop
        self.patience = Patience(loop)
        self._exchange: LoopExchange | None = None
        self._parser: AnswerParser | None = None
        self._clogged = False
        self._transport: asyncio.Transport
        self._quiet: Quiet

    # --- what the pool calls --------------------------------------------------------------------------------

    @property
    def raw_socket(self) -> socket.socket:
        """The socket, to look at."""
        found: socket.socket = self._transport.get_extra_info("socket")
        return found

    def exchange(
        self, limits: Limits, timeouts: Timeouts, *, bodiless: bool, deadline: float
    ) -> LoopExchange:
        """One call on this connection."""
        parser = self._parser
        if parser is None or not parser.renew(bodiless=bodiless):
            if parser is not None:
                parser.release()
            parser = self._parser = AnswerParser(limits, bodiless=bodiless)
        self._exchange = LoopExchange(self, parser, timeouts, deadline)
        return self._exchange

    def is_quiet(self) -> bool:
        """Whether the idle peer has sent nothing: no end of stream, no reset, no unasked bytes."""
        return not self.closed and self._quiet.holds()

    async def aclose(self) -> None:
        """Close the socket at once, and tell a call under way."""
        self.closed = True
        self.patience.end()
        self._transport.abort()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_lost(None)
        self._release()

    # --- what the event loop calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's
        """The connection is open."""
        self._transport = transport
        self._quiet = Quiet(self.raw_socket.fileno())

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer, or of none."""
        if self._exchange is None:
            self._give_up()
        else:
            self._exchange.on_data(data)

    def eof_received(self) -> bool:
        """The peer sends no more; closes our direction too."""
        if self._exchange is not None:
            self._exchange.on_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.closed = True
        self.patience.end()
        if self._exchange is not None:
            self._exchange.on_lost(exc)
        self._release()

    def pause_writing(self) -> None:
        """The peer takes what we write more slowly than we do."""
        self._clogged = True

    def resume_writing(self) -> None:
        """It has taken it."""
        self._clogged = False
        if self._exchange is not None:
            self._exchange.wake()

    # --- what the exchange calls ----------------------------------------------------------------------------

    @property
    def clogged(self) -> bool:
        """Whether the peer has to take something before more is written."""
        return self._clogged and not self.closed

    @property
    def unwritten(self) -> bool:
        """Whether something was handed over that the system has not taken."""
        return self._transport.get_write_buffer_size() > 0

    def write(self, data: bytes) -> None:
        """Hand over bytes for the peer."""
        if not self.closed:
            self._transport.write(data)

    def pause(self) -> None:
        """Read nothing for now."""
        if not self.closed:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.closed:
            self._transport.resume_reading()

    def over(self) -> None:
        """The answer is complete; whatever comes now is nobody's."""
        self._exchange = None
        self.patience.content()

    def _release(self) -> None:
        if self._parser is not None:
            self._parser.release()

    def _give_up(self) -> None:
        # Unasked bytes may be poison, or an end that we have not noticed: never use it again.
        self.closed = True
        self._transport.abort()


class LoopExchange:
    """See `callboard.transport.connection.Exchange`."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_failed",
        "_failure",
        "_news",
        "_paused",
        "_timeouts",
        "_uploading",
        "_waiter",
        "_whole",
        "_within",
        "parser",
    )

    def __init__(
        self, connection: LoopConnection, parser: AnswerParser, timeouts: Timeouts, deadline: float
    ) -> None:
        self.parser = parser
        self._connection = connection
        self._timeouts = timeouts
        self._deadline = deadline
        self._whole = False  # the whole request was handed over
        self._news = False  # something was parsed since the call looked last
        self._paused = False
        self._failed = False
        self._failure: UpstreamError | None = None  # why; until it is raised
        self._waiter: asyncio.Future[None] | None = None
        self._uploading: anyio.CancelScope | None = None

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the connection can carry another request."""
        parser = self.parser
        return (
            parser.complete and parser.reusable and self._whole and not self._failed
            and not self._connection.closed
        )  # fmt: skip

    async def begin(self, head: bytes, body: bytes, upload: Upload | None = None) -> None:
        """See `callboard.transport.connection.Exchange.begin`."""
        if upload is not None:
            self._whole = await self._upload(head, Uploading(upload))
        elif len(body) <= JOINED_BYTES:
            self._connection.write(head + body)
            self._whole = True
        else:
            self._whole = await self._write_while_listening(head + body)
        self._expect(self._timeouts.first_byte_s, "the upstream did not answer in time")
        parser = self.parser
        while not parser.head_done and not self._failed:
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        if self._failed:
            self._raise()
        self._news = False

    async def receive_more(self) -> None:
        """See `callboard.transport.connection.Exchange.receive_more`."""
        if not self._news:
            if self._paused:
                self._paused = False
                self._connection.resume()
            self._expect(self._timeouts.idle_s, "the upstream fell silent in the middle of its answer")
            while not self._news:
                await self._wait()
        elif self._deadline <= self._connection.loop.time():
            # A peer that always has a byte ready could go on for ever.
            raise UpstreamTimeout("the upstream's answer took too long as a whole")
        self._news = False

    # --- what the connection calls --------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """Bytes have come."""
        parser = self.parser
        try:
            parser.feed(data)
        except UpstreamError as error:
            self._fail(error)
        self._news = True
        if parser.complete:
            self._connection.over()
        elif parser.pending > AHEAD_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()
        self.wake()

    def on_eof(self) -> None:
        """The peer sends no more."""
        self._end(None)

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(exc)

    def wake(self) -> None:
        """Let the call look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._uploading is not None and (self.parser.head_done or self._failed):
            self._uploading.cancel()

    # --- inside ---------------------------------------------------------------------------------------------

    def _end(self, exc: Exception | None) -> None:
        parser = self.parser
        if parser.complete or self._failed:
            return
        try:
            if exc is None:
                parser.feed_eof()
                self._news = True
            else:
                kind = StreamIncomplete if parser.head_done else UpstreamUnreachable
                broken = kind("the connection broke before the upstream's answer was complete")
                broken.__cause__ = exc
                self._fail(broken)
        except UpstreamError as error:
            self._fail(error)
        self.wake()

    def _expect(self, within_s: float, message: str) -> None:
        connection = self._connection
        now = connection.loop.time()
        if self._deadline <= now:
            raise UpstreamTimeout("the upstream's answer took too long as a whole")
        connection.patience.expect_until(min(now + within_s, self._deadline), self._overdue)
        self._within = message

    def _overdue(self) -> None:
        self._fail(UpstreamTimeout(self._within))
        self.wake()

    def _fail(self, error: UpstreamError) -> None:
        if not self._failed:
            self._failed = True
            self._failure = error

    def _raise(self) -> NoReturn:
        try:
            raise self._failure or StreamIncomplete("the upstream's answer has failed before")
        finally:
            self._failure = None  # the error holds this frame, and through it us

    async def _wait(self) -> None:
        """Until something has happened; raises what has gone wrong."""
        if self._failed:
            self._raise()
        self._waiter = self._connection.loop.create_future()
        await self._waiter

    async def _write_while_listening(self, request: bytes) -> bool:
        """Write until the answer's head has come; returns whether that was all."""
        connection = self._connection
        data = memoryview(request)
        for start in range(0, len(data), JOINED_BYTES):
            self._expect(self._timeouts.idle_s, "the upstream did not take the request in time")
            connection.write(bytes(data[start : start + JOINED_BYTES]))
            while connection.clogged and not self.parser.head_done:
                await self._wait()
            if self.parser.head_done:
                return False
        return not connection.unwritten

    async def _upload(self, head: bytes, body: Uploading) -> bool:
        """Write head and body as the body comes, until the answer's head does; returns whether that was all.

        While the body does not come there is nothing to expect of the upstream, but the whole call's end.
        """
        connection = self._connection
        connection.write(head)
        with anyio.CancelScope() as self._uploading:
            while not body.over:
                self._expect(math.inf, "the upstream's answer took too long as a whole")
                connection.write(await body.next_framed())
                self._expect(self._timeouts.idle_s, "the upstream did not take the request in time")
                while connection.clogged:
                    await self._wait()
        self._uploading = None
        return body.over and not connection.unwritten
