"""How stored things are measured: by the bytes of their JSON and payloads, alike in every store."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.domain.codec import encode_message, encode_messages
from callboard.domain.message import Message
from callboard.store.records import ItemRecord, Segment


def size_of_messages(messages: tuple[Message, ...]) -> int:
    """Bytes of a turn's input or of what it produced."""
    return len(encode_messages(messages))


def size_of_item(item: ItemRecord) -> int:
    """Bytes of an item."""
    return len(encode_message(item.message))


def size_of_segments(segments: Sequence[Segment]) -> int:
    """Bytes of events."""
    return sum(len(segment.payload) for segment in segments)
