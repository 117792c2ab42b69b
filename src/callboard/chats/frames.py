"""The front's wire: JSON and a separator for each event, both ways. No I/O.

The separator is two characters outside of ASCII and the JSON is ASCII, so no text can contain the separator.
The first event, the message list, is JSON within a JSON string; pages have always read it either way, and so
does `FrameParser`. A line feed between events is a sign of life: JSON may begin with white space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from callboard.chats.events import FrontEvent, MessageList

SEPARATOR = "\u2406\u2404".encode()
"""SYMBOL FOR ACKNOWLEDGE, SYMBOL FOR END OF TRANSMISSION."""

STILL_HERE = b"\n"


def encode_frame(event: FrontEvent) -> bytes:
    """An event as it is sent."""
    text = json.dumps(msgspec.to_builtins(event))
    if isinstance(event, MessageList):
        text = json.dumps(text)
    return text.encode("ascii") + SEPARATOR


def encode_frames(events: Iterable[FrontEvent]) -> bytes:
    """Several, in order."""
    return b"".join(map(encode_frame, events))


class FrameParser:
    """Bytes of a stream in, events out, wherever the bytes are cut. For clients and tests.

    Attributes:
        unreadable: How many frames were no JSON object and were passed over.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.unreadable = 0

    def feed(self, data: bytes) -> list[Mapping[str, object]]:
        """The events that ``data`` completes; JSON within a JSON string is taken out of it."""
        *frames, self._rest = (self._rest + data).split(SEPARATOR)
        return [event for frame in frames if (event := self._event(frame)) is not None]

    def _event(self, frame: bytes) -> Mapping[str, object] | None:
        if not frame.strip():
            return None
        try:
            value: object = json.loads(frame)
            if isinstance(value, str):
                value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        self.unreadable += 1
        return None
