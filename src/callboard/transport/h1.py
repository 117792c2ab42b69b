"""The client's side of HTTP/1.1 answers, sans-IO: bytes in, status, headers and body pieces out.

httptools (llhttp in strict mode) does the grammar; this file adds what a client has to know beyond it:
interim answers, answers without a body, bodies that end with the connection, limits, and whether the
connection may be used again. One parser reads one answer.

Source: RFC 9112 sections 6 (framing), 9.3 (persistence), 9.6 (close); RFC 9110 section 15.2 (interim
answers).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamUnreachable
from callboard.transport.http import Limits

LARGE_READ = 64 * 1024
CRUMBS, CRUMB_BYTES = 8_192, 16
"""A large read that brings more than so many pieces, smaller than this on average, is an attack: each costs
as much as a whole one."""


class AnswerParser:
    """Reads one answer, and after `renew` the next one.

    Attributes:
        status: Status code, valid once ``head_done``.
        fields: In order with lower-case names, valid once ``head_done``; trailers are dropped.
        touched: Whether any byte of an answer has arrived.
        head_done: Whether status and headers are complete.
        complete: Whether the whole answer is.
        pending: Bytes of the body that were parsed and not taken.
        reusable: Whether, once complete, the connection can carry another request.
    """

    __slots__ = (
        "_bodiless", "_fault", "_field_bytes", "_fields",
        "_interim", "_limits", "_parser", "_pieces", "_since_progress",
        "_until_close", "_whole", "complete", "fields", "head_done", "pending",
        "reusable", "status", "touched",
    )  # fmt: skip

    def __init__(self, limits: Limits, *, bodiless: bool) -> None:
        """``bodiless`` is true for answers to HEAD, whose headers describe a body that is not sent."""
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.touched = False
        self.head_done = False
        self.complete = False
        self.reusable = False
        self._limits = limits
        self._bodiless = bodiless
        self._interim = False
        self._until_close = False
        self._whole = False  # llhttp has seen the end of the answer, and nothing after it
        self._fault = ""
        self._field_bytes = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._since_progress = 0
        self._pieces: list[bytes] = []
        self.pending = 0
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection.

        Raises:
            RemoteWireError: They are not HTTP/1, or a limit is exceeded.
        """
        if self.complete or self._parser is None:
            self.reusable = False
            return
        self.touched = True
        self._since_progress += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # Bytes after the end do not spoil the answer, but whose they are nobody knows: never reuse.
            self.reusable = False
            if not self.complete:
                raise RemoteWireError("the upstream's answer is not valid HTTP") from error
        # Endless chunk extensions or trailers, and heads that never end, make no progress; this bounds them.
        stalled = self._since_progress > self._limits.header_bytes and not self.complete
        if stalled or self._field_bytes > self._limits.header_bytes:
            self._fault = self._fault or "the upstream's answer has more header bytes than allowed"
        if len(data) >= LARGE_READ and CRUMBS < len(self._pieces) > self.pending // CRUMB_BYTES:
            self._fault = "the upstream's answer is framed in pieces too small"
        if self._fault:
            raise RemoteWireError(self._fault)
        if not self._whole:
            self._release_if_over()

    def renew(self, *, bodiless: bool) -> bool:
        """Make ready for the next answer on the same connection.

        Returns:
            False where a fresh parser is needed, because this one may have seen a part of something else.
        """
        if self._parser is None or not (self._whole and self.reusable):
            return False
        self.status = 0
        self.fields = []
        self.touched = self.head_done = self.complete = self.reusable = self._whole = False
        self._bodiless = bodiless
        self._interim = self._until_close = False
        self._field_bytes = self._since_progress = 0
        return True

    def release(self) -> None:
        """Parse nothing more. llhttp's parser holds our bound methods: this breaks the cycle."""
        self._parser = None

    def _release_if_over(self) -> None:
        if self.complete:
            self.release()

    def feed_eof(self) -> None:
        """The connection has ended.

        Raises:
            UpstreamUnreachable: Before the head of the answer was complete.
            StreamIncomplete: Before its body was.
        """
        self._parser = None
        self.reusable = False
        if not self.head_done:
            raise UpstreamUnreachable("the upstream closed the connection before it answered")
        if self._until_close:
            self.complete = True
        if not self.complete:
            raise StreamIncomplete("the upstream closed the connection before its answer was complete")

    def take(self) -> bytes:
        """The body bytes parsed since the last call, in one piece; empty where there are none."""
        pieces = self._pieces
        if not pieces:
            return b""
        piece = pieces[0] if self.pending == len(pieces[0]) else b"".join(pieces)
        self._pieces = []
        self.pending = 0
        return piece

    # Called by httptools while it is fed.

    def on_message_begin(self) -> None:
        """A further message starts: after an interim answer ours does, after ours nothing may."""
        if self.complete:
            self.reusable = self._whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, interim, ours, or a trailer, which nobody looks at."""
        if not self.head_done:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: decide what ends the body."""
        if self.complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if self._since_progress > self._limits.header_bytes:  # the head is a part of that
            self._field_bytes += sum(len(name) + len(value) for name, value in fields)
        self._interim = status < 200
        if self._interim:
            if status == 101:
                self._fault = "the upstream switched protocols unasked"
            return
        if len(fields) > self._limits.header_count:
            self._fault = "the upstream's answer has more headers than allowed"
        self.status = status
        self.head_done = True
        self._since_progress = 0
        self.fields = fields
        names = dict(fields)
        if b"transfer-encoding" in names:
            self._check_transfer_encoding([value for name, value in fields if name == b"transfer-encoding"])
        elif b"content-length" not in names:
            self._until_close = status not in {204, 304}
        if self._bodiless:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        """A piece of the body, without its framing."""
        if self.complete:
            self.reusable = False
            return
        self._since_progress = 0
        self._pieces.append(piece)
        self.pending += len(piece)

    def on_message_complete(self) -> None:
        """The message is over; an interim one is not the answer."""
        if not self._interim and not self.complete and self._parser is not None:
            self.complete = self._whole = True
            self.reusable = self._parser.should_keep_alive()

    def _check_transfer_encoding(self, codings: list[bytes]) -> None:
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            self._fault = "the upstream's answer has a transfer encoding that was not asked for"
