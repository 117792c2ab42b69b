"""Conversations as objects of the API: what clients send of them, and what they are shown.

Source: OpenAI API reference, "Conversations" (as of the ``openai`` package 3.52).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from callboard.domain.message import Message
from callboard.wire.json import decode
from callboard.wire.openai_responses.incoming import Conversation
from callboard.wire.openai_responses.opaque import opaque_item
from callboard.wire.openai_responses.schema import Metadata

MOST_ITEMS = 20
"""Items that may be added at a time."""

_Items = Annotated[tuple[Raw, ...], Meta(max_length=MOST_ITEMS)]


class _Create(Struct, frozen=True, kw_only=True):
    items: _Items | None = None
    metadata: Metadata | None = None


class _Update(Struct, frozen=True, kw_only=True):
    metadata: Metadata | None


class _Add(Struct, frozen=True, kw_only=True):
    items: Annotated[_Items, Meta(min_length=1)]


class NewConversation(Struct, frozen=True, kw_only=True):
    """A conversation that a client asks for; each message is an item (`callboard.domain.item`)."""

    items: tuple[Message, ...]
    metadata: Mapping[str, str]


_CREATE = msgspec.json.Decoder(_Create)
_UPDATE = msgspec.json.Decoder(_Update)
_ADD = msgspec.json.Decoder(_Add)


def decode_new(body: bytes, kept: Mapping[str, Raw]) -> NewConversation:
    """The conversation that a client asks for.

    Args:
        body: What it sent.
        kept: The items that it refers to, by their ids.

    Raises:
        LocalWireError: It breaks JSON or the dialect.
        NotFound: It refers to an item that is not kept.
    """
    wire = decode(body, _CREATE.decode, side="local")
    return NewConversation(items=_items(wire.items or (), kept), metadata=wire.metadata or {})


def decode_metadata(body: bytes) -> Mapping[str, str]:
    """What a client has to say of a conversation from now on; raises as `decode_new`."""
    return decode(body, _UPDATE.decode, side="local").metadata or {}


def decode_items(body: bytes, kept: Mapping[str, Raw]) -> tuple[Message, ...]:
    """The items that a client adds; raises as `decode_new`."""
    return _items(decode(body, _ADD.decode, side="local").items, kept)


def encode_conversation(conversation_id: str, *, created_at: int, metadata: Mapping[str, str]) -> bytes:
    """The Conversation object; ``created_at`` is in seconds since the epoch."""
    shown = {
        "id": conversation_id,
        "object": "conversation",
        "created_at": created_at,
        "metadata": metadata,
    }
    return msgspec.json.encode(shown)


def encode_deleted(conversation_id: str) -> bytes:
    """What is said of a conversation that is gone."""
    return msgspec.json.encode({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


def _items(wire: tuple[Raw, ...], kept: Mapping[str, Raw]) -> tuple[Message, ...]:
    found: list[Message] = []
    for index, item in enumerate(wire):
        collected = Conversation(kept)
        collected.add(item, f"items[{index}]")
        # One that says nothing to a model is an item for all that.
        found += collected.items or [Message(role="assistant", content=(opaque_item(item),))]
    return tuple(found)
