"""A reader of event streams by the letter of the standard: slow, whole streams only, written for comparison.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import re

Event = tuple[bytes, str, str]
"""Data, type, last event id."""


def read(stream: bytes) -> tuple[list[Event], int | None]:
    """The events of a whole stream, and the reconnection time it asked for."""
    events: list[Event] = []
    data, kind, last_id = b"", "", ""
    retry: int | None = None
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:  # what no line end follows is incomplete
        if line == b"":
            if data:
                events.append((data.removesuffix(b"\n"), kind or "message", last_id))
            data, kind = b"", ""
            continue
        if line.startswith(b":"):
            continue
        field, colon, value = line.partition(b":")
        value = value[1:] if colon and value.startswith(b" ") else value
        if field == b"event":
            kind = value.decode("utf-8", "replace")
        elif field == b"data":
            data += value + b"\n"
        elif field == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
        elif field == b"retry" and re.fullmatch(rb"[0-9]{1,9}", value):
            retry = int(value)
    return events, retry
