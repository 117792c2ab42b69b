"""The socket side of `callboard serve`: uvicorn's HTTP protocol with the limits it lacks.

uvicorn parses with llhttp and bounds keep-alive; everything a slow or hostile client can still do to it is
bounded here: the time to send a head, pauses within a body, the size of a head, the number of connections,
and messages whose length can be read in two ways.

Sources: RFC 9112, 6.1 and 6.3 (message length; a message with both Transfer-Encoding and Content-Length
ought to be handled as an error), RFC 6585, 5 (431 Request Header Fields Too Large).
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle

import msgspec
from msgspec import Struct
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState


class ListenLimits(Struct, frozen=True, kw_only=True):
    """What one client may take of us.

    Attributes:
        header_s: From the first byte of a connection, or the end of the last answer's keep-alive, to the end
            of
            the head.
        body_idle_s: The longest pause within a body.
        header_bytes: Request line and header fields together.
        header_count: Header fields.
        connections: Open at the same time, all clients together.
    """

    header_s: float = 10.0
    body_idle_s: float = 30.0
    header_bytes: int = 32 * 1024
    header_count: int = 100
    connections: int = 4096


class _Refused(Exception):
    """The head cannot be accepted."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded` makes the class for given limits."""

    limits = ListenLimits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0
        self._refusal = (400, "The request is not valid HTTP.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A client connects."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refusal = (503, "This server has too many connections.")
            self.send_400_response("")
            return
        self._arm(self.limits.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or a body."""
        if self._in_head:
            if self._timer is None:
                self._arm(self.limits.header_s)
            self._head_bytes += len(data)
        super().data_received(data)
        # The parser hands out a field only when it is whole, so one that never ends is bounded here.
        if self._in_head and self._head_bytes > 2 * self.limits.header_bytes:
            self._refusal = (431, "The request's header fields are too large.")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """The parser sees a new request."""
        super().on_message_begin()
        self._fields_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The parser has (part of) the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has a header field."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)
        if len(self.headers) > self.limits.header_count:
            self._refuse(431, "The request has too many header fields.")

    def on_headers_complete(self) -> None:
        """The head is whole: check what the parser lets through, then start the application."""
        self._in_head = False
        self._disarm()
        names = [name for name, _ in self.headers]
        if b"transfer-encoding" in names and b"content-length" in names:
            self._refuse(400, "The request has both Content-Length and Transfer-Encoding.")
        if names.count(b"host") != 1 and self.parser.get_http_version() == "1.1":
            self._refuse(400, "The request must have exactly one Host.")
        if not self.url.startswith(b"/"):
            self._refuse(400, "The request target must be a path.")
        super().on_headers_complete()
        self._arm(self.limits.body_idle_s)

    def on_body(self, body: bytes) -> None:
        """The parser has a piece of the body."""
        super().on_body(body)
        self._arm(self.limits.body_idle_s)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._disarm()
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what came, in the API's own shape, and close."""
        del msg
        self._disarm()
        if self.transport.is_closing():
            return
        status, message = self._refusal
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": None}})
        if not self._answering():
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()

    def _answering(self) -> bool:
        """Whether an answer is on its way: nothing may be written into the middle of it."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _count(self, size: int) -> None:
        self._fields_bytes += size
        if self._fields_bytes > self.limits.header_bytes:
            self._refuse(431, "The request's header fields are too large.")

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = (status, message)
        raise _Refused(message)

    def _arm(self, after_s: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(after_s, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.flow.read_paused:
            # It is we who are not reading: the client cannot be early.
            self._arm(self.limits.body_idle_s)
            return
        self._refusal = (408, "The request did not arrive in time.")
        self.send_400_response("")


def bounded(limits: ListenLimits) -> type[BoundedProtocol]:
    """The protocol class with these limits; uvicorn wants a class."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})
