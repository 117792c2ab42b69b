"""The server's side of HTTP/1.1 requests: bytes in, exchanges out. No I/O.

llhttp does the grammar, strictly. What it lets through and a server must not is refused here: heads without
end, a message whose length can be read in two ways, no or two hosts, a target that is not a path.

Source: RFC 9112, 2.5 (versions), 3.2 (host and target), 6.1 and 6.3 (message length), 9.3 (persistence);
RFC 9110, 7.8 (upgrade), 10.1.1 (expect); RFC 6585, 5 (431).
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from msgspec import Struct

from callboard.errors import UnreadableRequest
from callboard.serving.http1.limits import ListenLimits

FRAMING = 9
"""A byte of body pays for itself and eight of framing: chunks of one byte have six."""

TOO_LARGE = "The request's header fields are too large."


class Head(Struct):
    """The head of a request.

    Attributes:
        path: Without the query, percent-decoded.
        target: Path and query as they came.
        headers: Values by lower-case name; of a repeated field the first.
        keep_alive: Whether the client wants to send another request.
    """

    method: str
    path: str
    target: bytes
    headers: dict[bytes, bytes]
    http_1_0: bool
    keep_alive: bool


class Sink(Protocol):
    """Who is told of what was parsed, in this order for each request."""

    def on_head(self, head: Head) -> None:
        """The head is whole."""

    def on_piece(self, piece: bytes) -> None:
        """A piece of the body, without its framing."""

    def on_end(self) -> None:
        """The request is whole."""


class RequestParser:
    """Parses the requests of one connection.

    Attributes:
        in_head: Whether a head has begun and is not whole.
        rest: What came behind a request for another protocol.
    """

    __slots__ = (
        "_at_head",
        "_chunked",
        "_data",
        "_follows",
        "_headers",
        "_http",
        "_limits",
        "_overhead",
        "_path",
        "_path_of",
        "_repeated",
        "_sink",
        "_target",
        "rest",
    )

    def __init__(self, sink: Sink, limits: ListenLimits) -> None:
        self._sink = sink
        self._limits = limits
        self._http = HttpRequestParser(self)
        self._at_head = True
        self._follows = False  # another request came before, in the same bytes
        self._overhead = 0  # bytes that are no body, about
        self._data = b""
        self._path_of, self._path = b"", ""  # clients ask for the same again and again
        self._chunked = False
        self.rest = b""
        self._new()

    def _new(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[tuple[bytes, bytes]] = []
        self._target = b""

    @property
    def in_head(self) -> bool:
        """See the class."""
        return self._at_head and self._overhead > 0

    def feed(self, data: bytes) -> bool:
        """Take bytes from the client.

        Returns:
            False where what follows is not HTTP/1.1 any more: the client wants another protocol.

        Raises:
            UnreadableRequest: They are not HTTP, or a limit is exceeded; no more may be fed.
        """
        self._overhead += len(data)
        self._data = data
        self._follows = False
        try:
            self._http.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
            return False
        except HttpParserError as error:
            # What a callback of ours or of the sink's has raised is the reason; else it is the grammar.
            if isinstance(error.__context__, UnreadableRequest):
                raise error.__context__ from None
            raise UnreadableRequest("The request is not valid HTTP.") from error
        # Heads without end, and chunk extensions or trailers that outweigh the body many times.
        if self._overhead > 2 * self._limits.header_bytes:
            raise UnreadableRequest(TOO_LARGE, 431)
        return True

    # --- called by httptools --------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """(A part of) the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; or a trailer, which goes where nobody looks."""
        lower = name.lower()
        if lower in self._headers:
            self._repeated.append((lower, value))
        else:
            self._headers[lower] = value

    def on_headers_complete(self) -> None:
        """The head is whole: check what llhttp lets through."""
        http = self._http
        version = http.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise UnreadableRequest("This server speaks HTTP/1.1.", 505)
        headers = self._headers
        repeated = self._repeated
        limits = self._limits
        if (
            self._overhead > limits.header_bytes
            or len(headers) + len(repeated) > limits.header_count
            or self._follows
        ):
            self._check_size()
        if version == "1.0" and b" RTSP/" in self._data:
            raise UnreadableRequest("This server speaks HTTP/1.1.", 505)
        coding = headers.get(b"transfer-encoding")
        self._chunked = coding is not None
        if coding is not None:
            self._check_coding(coding, version)
        if (b"host" not in headers and version == "1.1") or (repeated and self._has_repeated(b"host")):
            raise UnreadableRequest("The request must have exactly one Host.")
        if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            raise UnreadableRequest("This expectation cannot be met.", 417)
        target = self._target
        if target != self._path_of:
            self._path = _path(target)
            self._path_of = target
        self._at_head = False
        self._headers = {}
        self._target = b""
        if repeated:
            self._repeated = []
        self._sink.on_head(
            Head(
                http.get_method().decode("ascii"),
                self._path,
                target,
                headers,
                version == "1.0",
                http.should_keep_alive(),
            )
        )

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._overhead -= FRAMING * len(piece)
        self._sink.on_piece(piece)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._chunked and self._overhead > 2 * self._limits.header_bytes:
            raise UnreadableRequest(TOO_LARGE, 431)
        self._at_head = True
        self._follows = True
        self._overhead = 0
        if self._headers or self._repeated:
            self._check_size()  # trailers
            self._new()
        self._sink.on_end()

    # --- checks ---------------------------------------------------------------------------------------------

    def _check_size(self) -> None:
        fields = (*self._headers.items(), *self._repeated)
        if len(self._target) + sum(len(name) + len(value) + 4 for name, value in fields) > (
            self._limits.header_bytes
        ):
            raise UnreadableRequest(TOO_LARGE, 431)
        if len(fields) > self._limits.header_count:
            raise UnreadableRequest("The request has too many header fields.", 431)

    def _has_repeated(self, name: bytes) -> bool:
        return any(repeated == name for repeated, _ in self._repeated)

    def _check_coding(self, coding: bytes, version: str) -> None:
        if b"content-length" in self._headers:
            raise UnreadableRequest("The request has both Content-Length and Transfer-Encoding.")
        if version == "1.0" or self._has_repeated(b"transfer-encoding"):
            raise UnreadableRequest("The request's Transfer-Encoding cannot be relied on.")
        if coding.strip(b" \t").lower() != b"chunked":
            raise UnreadableRequest("This transfer coding is not implemented.", 501)


def _path(target: bytes) -> str:
    if not target.startswith(b"/") or not target.isascii():
        raise UnreadableRequest("The request target must be a path.")
    path = target.partition(b"?")[0].decode("ascii")
    return unquote(path) if "%" in path else path
