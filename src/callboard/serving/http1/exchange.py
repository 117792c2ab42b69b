"""One exchange on a connection of our own server."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from callboard.errors import UnreadableRequest
from callboard.serving.exchange import JSON, Exchange, Header, too_large
from callboard.serving.http1 import head
from callboard.serving.http1.request import Head
from callboard.serving.http1.websocket import Http1Socket
from callboard.serving.http1.websocket_handshake import accept_key
from callboard.serving.socket import Socket

EARLY_BYTES = 64 * 1024
"""So much of a body is taken in before anybody asks for it; then the socket is not read."""

AT_ONCE = 1_024
"""Pieces that are kept apart; then they are joined."""

CRUMB_BYTES, CRUMBS = 64, 16 * 1024
"""A body of more than so many pieces that are smaller than this on average is an attack: each costs as much
as a whole one."""

NO_FIELDS: tuple[bytes, frozenset[bytes]] = (b"", frozenset())
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire(Protocol):
    """What an exchange needs of its connection.

    Attributes:
        clogged: Where the client has to read before more is written, what to wait for.
        date: Gives the ``date`` field.
    """

    clogged: Future[None] | None
    date: Callable[[], bytes]

    def write(self, data: bytes) -> None:
        """Hand over bytes for the client."""

    def pause(self) -> None:
        """Read nothing more from the client for now."""

    def resume(self) -> None:
        """Read on."""

    def stop(self) -> None:
        """Cancel what is done for the client."""

    def beats(self, exchange: Http1Exchange, interval_s: float | None) -> None:
        """Keep ``exchange`` alive while it is silent; None ends that."""

    def future(self) -> Future[None]:
        """Something to wait on."""


class Http1Exchange(Exchange):
    """See `Exchange`. The connection feeds it; its task answers.

    Attributes:
        received: Whether the whole request has come.
        keep_alive: Whether the connection shall serve another request after this one.
        until_close: Whether the answer's body ends with the connection.
        socket: The WebSocket that the client asks for, where it does; it begins with the answer.
    """

    __slots__ = (
        "_arrived",
        "_chunked",
        "_crumbs",
        "_expects",
        "_gathered",
        "_head",
        "_http_1_0",
        "_pieces",
        "_silent",
        "_size",
        "_taken",
        "_wanted",
        "_wire",
        "keep_alive",
        "received",
        "socket",
        "until_close",
    )

    def __init__(self, wire: Wire, asked: Head) -> None:
        super().__init__(asked.method, asked.path, asked.headers, asked.target)
        self.received = False
        self.keep_alive = asked.keep_alive
        self.until_close = False
        self.socket: Http1Socket | None = None
        self._wire = wire
        self._http_1_0 = asked.http_1_0
        self._expects = not asked.http_1_0 and b"expect" in asked.headers
        self._pieces: list[bytes] = []
        self._gathered = bytearray()
        self._crumbs = 0
        self._size = 0
        self._taken = 0
        self._wanted = False
        self._arrived: Future[None] | None = None
        self._head: bytes | None = None
        self._chunked = False
        self._silent = False

    # --- the connection's side ------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """A piece of the body has come.

        Raises:
            UnreadableRequest: It comes in crumbs.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if len(self._pieces) == AT_ONCE:
            self._gather()
        if self._arrived is not None:
            self._wake()
        if self._size > EARLY_BYTES and not self._wanted:
            self._wire.pause()

    def _gather(self) -> None:
        before = len(self._gathered)
        self._gathered += b"".join(self._pieces)
        self._pieces = []
        if len(self._gathered) - before < CRUMB_BYTES * AT_ONCE:
            self._crumbs += AT_ONCE
            if self._crumbs > CRUMBS:
                raise UnreadableRequest("The request comes in pieces too small.")

    def feed_end(self) -> None:
        """The request is whole."""
        self.received = True
        if self._arrived is not None:
            self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # --- the application's side -----------------------------------------------------------------------------

    async def body(self, limit: int) -> bytes:
        """See `Exchange.body`."""
        self.check_body(limit)
        if not self.received:
            await self._rest_of_body(limit)
        if self._size > limit:
            raise too_large(limit)
        return self._take()

    def _take(self) -> bytes:
        """What has come and was not taken."""
        pieces, self._pieces = self._pieces, []
        if self._gathered:
            pieces.insert(0, bytes(self._gathered))
            self._gathered = bytearray()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _rest_of_body(self, limit: int) -> None:
        self._wanted = True
        if self._expects and not self._pieces:
            self._wire.write(CONTINUE)
        self._wire.resume()
        while not self.received and self._size <= limit:
            self._arrived = self._wire.future()
            await self._arrived

    async def piece(self, limit: int) -> bytes:
        """See `Exchange.piece`."""
        while not self._size and not self.received:
            if self._expects:
                self._expects = False
                self._wire.write(CONTINUE)
            self._wire.resume()
            self._arrived = self._wire.future()
            await self._arrived
        self._taken += self._size
        self._size = 0
        if self._taken > limit:
            raise too_large(limit)
        return self._take()

    def attend(
        self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None
    ) -> Awaitable[None]:
        """See `Exchange.attend`. A client that leaves cancels its connection's task: nobody has to watch."""
        return work() if heartbeat_s is None else self._attend_and_beat(work, heartbeat_s)

    async def _attend_and_beat(self, work: Callable[[], Awaitable[None]], heartbeat_s: float) -> None:
        self._wire.beats(self, heartbeat_s)
        try:
            await work()
        finally:
            self._wire.beats(self, None)

    async def open_socket(self, limit: int) -> Socket:
        """See `Exchange.open_socket`."""
        socket = self.socket
        if socket is None or self._http_1_0:
            return await super().open_socket(limit)
        accept = accept_key(self.headers)
        self.status = 101
        self.complete = True
        self._wire.write(head.switch_answer(accept, self.request_id))
        socket.begin(limit)
        return socket

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """See `Exchange.start`."""
        lines, names = head.field_lines(headers)
        self.status = status
        self._silent = not head.has_body(self.method, status)
        framing = b""
        if b"content-length" not in names and not self._silent:
            if self._http_1_0:
                self.keep_alive = False
                self.until_close = True
            else:
                self._chunked = True
                framing = head.CHUNKED
        if b"connection" in names:
            self.keep_alive = False
        self._head = b"".join(
            (head.status_line(status), self._wire.date(), lines, framing, self._own_fields(said=names))
        )

    async def respond(
        self, status: int, body: bytes, *, media: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        """See `Exchange.respond`: head and body in one write."""
        lines, names = head.field_lines(headers) if headers else NO_FIELDS
        self.status = status
        if b"connection" in names:
            self.keep_alive = False
        self.complete = True
        wire = self._wire
        wire.write(
            b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b%b"
            % (
                head.STATUS.get(status) or head.status_line(status),
                wire.date(),
                media,
                len(body),
                lines,
                self._own_fields(said=names),
                body if self.method != "HEAD" else b"",
            )
        )
        if wire.clogged is not None:
            await wire.clogged

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """See `Exchange.send`."""
        self.complete = not more
        self._write(piece, more=more)
        if self._wire.clogged is not None:
            await self._wire.clogged

    def stop(self, reason: Exception) -> None:
        """See `Exchange.stop`."""
        self.stopped = reason
        self._wire.stop()

    def beat(self) -> None:
        """Give a sign of life if the stream has been silent since the last one."""
        sign = self.stream.beat() if self.stream is not None else None
        if sign is not None:
            self._write(sign, more=True)

    def _write(self, piece: bytes, *, more: bool) -> None:
        begin, self._head = self._head or b"", None
        if self._silent:
            data = begin
        elif not self._chunked:
            data = begin + piece
        else:
            data = begin + (head.chunk(piece) if piece else b"") + (b"" if more else head.LAST_CHUNK)
        if data:
            self._wire.write(data)

    def _own_fields(self, *, said: frozenset[bytes]) -> bytes:
        """The fields that every answer has, and the end of the head."""
        if not self.received:
            # What is left of the request is not read, so the connection cannot be used again.
            self.keep_alive = False
        connection = b""
        if b"connection" not in said:
            if not self.keep_alive:
                connection = head.CLOSE
            elif self._http_1_0:
                connection = head.KEEP
        return b"x-request-id: %b\r\n%b\r\n" % (self.request_id.encode(), connection)
