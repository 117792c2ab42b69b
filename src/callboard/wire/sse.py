"""Server-sent events, both ways, on bytes.

The decoder works line by line and keeps between two chunks only the data of the event that is still open and
the line that is still open; whatever the chunking, the events are the same. Only CR, LF and CRLF end a line:
U+2028 and U+0085, at which text-based parsers split, pass through as data. Data stays bytes, because what
comes next is a JSON decoder.

Source: WHATWG HTML Living Standard, section 9.2 "Server-sent events" (9.2.5 format, 9.2.6 interpretation).
"""

from __future__ import annotations

from msgspec import Struct

from callboard.errors import RemoteWireError

MAX_EVENT_BYTES = 1 << 20

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: every client skips it, every proxy sees traffic."""

DONE = b"data: [DONE]\n\n"
"""What ends an OpenAI stream."""

DONE_DATA = b"[DONE]"

_BOM = b"\xef\xbb\xbf"
_MAX_RETRY_DIGITS = 9


class SseEvent(Struct, frozen=True, gc=False):
    """One dispatched event.

    Attributes:
        data: The data lines, joined by LF, as they came.
        event: The event's type; ``message`` where none was given.
        id: The last event id the stream has set, here or before.
    """

    data: bytes
    event: str = "message"
    id: str = ""


class SseDecoder:
    """Bytes of a stream in, events out.

    Attributes:
        retry_ms: The reconnection time the stream last asked for; None where it did not.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """``max_event_bytes`` bounds the data lines of one event, and any single line."""
        self.retry_ms: int | None = None
        self._limit = max_event_bytes
        self._open_line: list[bytes] = []
        self._open_line_bytes = 0
        self._skip_lf = False
        self._at_start = True
        self._idle = False
        self._failure: RemoteWireError | None = None
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes.

        Raises:
            RemoteWireError: An event or a line exceeds the limit. Events before it were returned first.
        """
        if (
            self._idle
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and data.find(b"\n") == len(data) - 2
            and b"\r" not in data
            and len(data) <= self._limit
        ):
            # One event in one read, with nothing left of the last: most of all that upstreams send.
            return [SseEvent(data[6:-2], "message", self._id)]
        found = self._take(data)
        self._idle = not (
            self._data or self._event or self._open_line or self._skip_lf or self._at_start or self._failure
        )
        return found

    def _take(self, data: bytes) -> list[SseEvent]:
        if self._failure is not None:
            raise self._failure
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" in data:
            # "a U+000D CR, U+000A LF character pair, a single LF, or a single CR": the second half of a pair
            # may come with the next chunk, and must not count as one more line then.
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._open_line:
            if b"\n" not in data:
                return self._hold(data, [])
            data = b"".join((*self._open_line, data))
            self._open_line.clear()
            self._open_line_bytes = 0
        elif b"\n" not in data:
            return self._hold(data, [])
        if self._at_start:
            self._at_start = False
            data = data.removeprefix(_BOM)
        while b"\n\n\n" in data:
            # More than one empty line says no more than one: a flood of them is not looked at line by line.
            data = data.replace(b"\n\n\n", b"\n\n")
        return self._lines(data, []) if self._data or self._event else self._events(data)

    def end(self) -> None:
        """The stream has ended. An event that no empty line had closed is dropped, as the standard asks.

        Raises:
            RemoteWireError: `feed` had found an event too large.
        """
        if self._failure is not None:
            raise self._failure
        self._open_line.clear()
        self._data.clear()

    def _events(self, data: bytes) -> list[SseEvent]:
        """Whole events first: nearly all are one data line and an empty one."""
        found: list[SseEvent] = []
        whole, ends, rest = data.rpartition(b"\n\n")
        whole += ends
        values = whole[6:-2].split(b"\n\ndata: ") if whole.startswith(b"data: ") else []
        if 2 * len(values) == whole.count(b"\n") and len(whole) <= self._limit:
            found = [SseEvent(value, "message", self._id) for value in values]
        elif whole:
            for block in whole[:-2].split(b"\n\n"):
                if not self._block(block, found):
                    return found
        if b"\n" in rest:
            return self._lines(rest, found)
        return self._hold(rest, found)

    def _block(self, block: bytes, found: list[SseEvent]) -> bool:
        for line in block.split(b"\n"):
            if not self._line(line, found):
                return False
        self._dispatch(found)
        return True

    def _lines(self, data: bytes, found: list[SseEvent]) -> list[SseEvent]:
        lines = data.split(b"\n")
        rest = lines.pop()
        for line in lines:
            if not self._line(line, found):
                return found
        return self._hold(rest, found)

    def _hold(self, rest: bytes, found: list[SseEvent]) -> list[SseEvent]:
        """Keep the line that is still open."""
        if rest:
            self._open_line.append(rest)
            self._open_line_bytes += len(rest)
            if self._data_bytes + self._open_line_bytes > self._limit:
                self._fail(found)
        return found

    def _line(self, line: bytes, found: list[SseEvent]) -> bool:
        if not line:
            self._dispatch(found)
            return True
        if self._data_bytes + len(line) > self._limit:
            self._fail(found)
            return False
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._data_bytes += len(line)
            case b"event":
                self._event = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry_ms = int(value)
            case _:  # a comment, or a field we do not know: "the field is ignored"
                pass
        return True

    def _dispatch(self, found: list[SseEvent]) -> None:
        # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
        # string and return."
        if self._data:
            found.append(SseEvent(b"\n".join(self._data), self._event or "message", self._id))
            self._data.clear()
            self._data_bytes = 0
        self._event = ""

    def _fail(self, found: list[SseEvent]) -> None:
        self._failure = RemoteWireError(f"the stream holds an event of more than {self._limit} bytes")
        if not found:
            raise self._failure


def encode_event(data: bytes, event: str | None = None) -> bytes:
    """One event, in one piece.

    Line ends within ``data`` become further data lines, so no payload can end the event or begin another.

    Raises:
        ValueError: ``event`` is no single word of printable ASCII; types are constants, so this is a bug.
    """
    head = b""
    if event is not None:
        if not (event.isascii() and event.isprintable()) or " " in event:
            raise ValueError("an event type is one word of printable ASCII")
        head = b"event: %b\n" % event.encode()
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"%bdata: %b\n\n" % (head, data)
