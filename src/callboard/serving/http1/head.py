"""The heads of answers, as bytes. Pure.

Source: RFC 9112, 4 (status line), 6.1 (transfer encoding), 9.6 (connection: close); RFC 9110, 6.6.1 (date).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus

from callboard.serving.exchange import Header

STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_NO_BODY = frozenset({204, 304})
CLOSE = b"connection: close\r\n"
KEEP = b"connection: keep-alive\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Dates:
    """The ``date`` field, made once a second.

    Args:
        now_s: Seconds since the epoch.
    """

    __slots__ = ("_field", "_now_s", "_second")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._second = -1
        self._field = b""

    def field(self) -> bytes:
        """The field as of now, its line end included."""
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            self._field = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._field


def status_line(status: int) -> bytes:
    """The first line of an answer; a status nobody knows has no phrase."""
    return STATUS.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def has_body(method: str, status: int) -> bool:
    """Whether an answer has a body at all (RFC 9112, 6.3)."""
    return method != "HEAD" and status not in _NO_BODY


def field_lines(headers: Iterable[Header]) -> tuple[bytes, frozenset[bytes]]:
    """Header fields as lines, and their names.

    Raises:
        ValueError: A value would end its line: somebody's text got into a header.
    """
    names = []
    lines = []
    for name, value in headers:
        if b"\r" in value or b"\n" in value:
            raise ValueError(f"header {name.decode()} holds a line end")
        names.append(name)
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines), frozenset(names)


def switch_answer(accept: bytes, request_id: str) -> bytes:
    """The answer that makes a connection a WebSocket (RFC 6455, 4.2.2)."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: %b\r\nx-request-id: %b\r\n\r\n" % (accept, request_id.encode())
    )


def chunk(piece: bytes) -> bytes:
    """A piece of a body in the chunked coding (RFC 9112, 7.1); not for an empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def refusal_answer(status: int, body: bytes, date: bytes, headers: Iterable[Header] = ()) -> bytes:
    """The answer to a request that could not be read; the connection closes behind it."""
    fields = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
    return b"".join((status_line(status), date, fields, field_lines(headers)[0], b"\r\n", body))
