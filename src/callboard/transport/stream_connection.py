"""A connection on anyio's streams: on every event loop, with TLS or without.

Time limits cost one cancel scope for writing and the head together, and one per further read of the socket;
what is already parsed costs none.
"""

from __future__ import annotations

import math
import socket

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from callboard.errors import StreamIncomplete, UpstreamError, UpstreamTimeout
from callboard.transport.h1 import AnswerParser
from callboard.transport.http import Limits, Timeouts, Upload
from callboard.transport.quiet import Quiet
from callboard.transport.upload import Uploading

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
"""What an operation on a stream raises when the connection is gone (``ssl.SSLError`` is an ``OSError``)."""

# As much as asyncio reads at once: anything smaller would be split and queued again behind our back.
RECEIVE_BYTES = 256 * 1024


class StreamConnection:
    """An open stream and what the pool has to know about it.

    Attributes:
        stream: Where bytes go; plain TCP or TLS on top of it.
        idle_since: When its last answer ended, on the event loop's clock.
    """

    __slots__ = ("_quiet", "_socket_stream", "idle_since", "stream")

    def __init__(self, stream: ByteStream, socket_stream: SocketStream) -> None:
        self.stream = stream
        self.idle_since = 0.0
        self._socket_stream = socket_stream
        self._quiet = Quiet(self.raw_socket.fileno())

    @property
    def raw_socket(self) -> socket.socket:
        """The socket, to look at."""
        return self._socket_stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django

    def exchange(
        self, limits: Limits, timeouts: Timeouts, *, bodiless: bool, deadline: float
    ) -> StreamExchange:
        """One call on this connection."""
        return StreamExchange(self, AnswerParser(limits, bodiless=bodiless), timeouts, deadline=deadline)

    def is_quiet(self) -> bool:
        """Whether the idle peer has sent nothing: no end of stream, no reset, no unasked bytes."""
        return self._quiet.holds()

    async def aclose(self) -> None:
        """Close the socket at once, also under cancellation."""
        with anyio.CancelScope(shield=True):
            await self._socket_stream.aclose()


# Written at once, before the answer is looked at. Larger bodies are written while we listen.
JOINED_BYTES = 64 * 1024


class StreamExchange:
    """One call on one connection.

    Attributes:
        parser: Reads the answer.
        written: Whether the whole request was written; the connection is not used again otherwise.
    """

    __slots__ = ("_connection", "_deadline", "_timeouts", "parser", "written")

    def __init__(
        self, connection: StreamConnection, parser: AnswerParser, timeouts: Timeouts, *, deadline: float
    ) -> None:
        """``deadline`` is the whole call's, on the event loop's clock."""
        self.parser = parser
        self.written = False
        self._connection = connection
        self._timeouts = timeouts
        self._deadline = deadline

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the connection can carry another request."""
        return self.written and self.parser.complete and self.parser.reusable

    async def begin(self, head: bytes, body: bytes, upload: Upload | None = None) -> None:
        """Write the request and read until the head of the answer is complete.

        An answer that arrives before the whole body was written ends the writing.

        Raises:
            UpstreamUnreachable: The connection broke before the head was complete.
            UpstreamTimeout: ``first_byte_s``, ``total_s``, or ``idle_s`` while a large body was written.
            RemoteWireError: The answer is not HTTP or its head too large.
        """
        with anyio.CancelScope(deadline=self._within(self._timeouts.first_byte_s)) as scope:
            if upload is None and len(body) <= JOINED_BYTES:
                await self._write(head + body)
                self.written = True
                await self._read_head()
            else:
                await self._write_while_listening(head, body, upload, scope)
        if scope.cancelled_caught:
            raise UpstreamTimeout("the upstream did not answer in time")

    async def receive_more(self) -> None:
        """Read the socket once and parse what came.

        Raises:
            StreamIncomplete: The connection broke before the body was complete.
            UpstreamTimeout: ``idle_s`` or ``total_s`` passed.
            RemoteWireError: The framing is broken.
        """
        data = None
        with anyio.CancelScope(deadline=self._within(self._timeouts.idle_s)):
            try:
                data = await self._connection.stream.receive(RECEIVE_BYTES)
            except anyio.EndOfStream:
                data = b""
            except BROKEN as error:
                raise StreamIncomplete(
                    "the connection broke before the upstream's answer was complete"
                ) from error
        if data is None:
            raise UpstreamTimeout("the upstream fell silent in the middle of its answer")
        if data:
            self.parser.feed(data)
        else:
            self.parser.feed_eof()

    def _within(self, seconds: float) -> float:
        """The moment when ``seconds`` from now, or the whole call's time, are over."""
        now = anyio.current_time()
        # A cancel scope alone is not enough: a peer that always has a byte ready can outrun its cancellation.
        if now >= self._deadline:
            raise UpstreamTimeout("the upstream's answer took too long as a whole")
        return min(now + seconds, self._deadline)

    async def _write(self, data: bytes) -> None:
        try:
            await self._connection.stream.send(data)
        except BROKEN:
            # The peer may have answered before it stopped listening: the reader finds out.
            self.parser.reusable = False

    async def _read_head(self) -> None:
        parser, stream = self.parser, self._connection.stream
        while not parser.head_done:
            try:
                data = await stream.receive(RECEIVE_BYTES)
            except (anyio.EndOfStream, *BROKEN):
                parser.feed_eof()
            else:
                parser.feed(data)

    async def _write_while_listening(
        self, head: bytes, body: bytes, upload: Upload | None, scope: anyio.CancelScope
    ) -> None:
        failure: Exception | None = None

        async def write() -> None:
            nonlocal failure
            try:
                if upload is None:
                    await self._write_in_pieces(head + body, scope)
                else:
                    await self._write_upload(head, Uploading(upload), scope)
            except Exception as error:  # noqa: BLE001 - carried out of the group unwrapped, and raised below
                failure = error
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            try:
                await self._read_head()
            except UpstreamError as error:
                failure = error  # raised outside, or the group would wrap it
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _write_in_pieces(self, request: bytes, scope: anyio.CancelScope) -> None:
        data = memoryview(request)
        for start in range(0, len(data), JOINED_BYTES):
            scope.deadline = self._within(self._timeouts.idle_s)
            await self._write(bytes(data[start : start + JOINED_BYTES]))
        scope.deadline = self._within(self._timeouts.first_byte_s)
        self.written = True

    async def _write_upload(self, head: bytes, body: Uploading, scope: anyio.CancelScope) -> None:
        await self._write(head)
        while not body.over:
            # While the body does not come there is nothing to expect of the upstream.
            scope.deadline = self._within(math.inf)
            data = await body.next_framed()
            scope.deadline = self._within(self._timeouts.idle_s)
            await self._write(data)
        scope.deadline = self._within(self._timeouts.first_byte_s)
        self.written = True
