"""Which kept items a request refers to.

Source: OpenAI API reference, "Create a model response", ``item_reference``.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from callboard.wire.json import decode
from callboard.wire.openai_responses.schema import ConversationRef

_WORD = b"item_reference"


class References(Struct, frozen=True, kw_only=True):
    """The ids of items, and the conversation that the request stands in, if any."""

    ids: tuple[str, ...] = ()
    conversation_id: str | None = None


class _Body(Struct, frozen=True, kw_only=True):
    input: str | list[Raw] | None = None
    items: list[Raw] | None = None
    conversation: str | ConversationRef | None = None


class _Entry(Struct, frozen=True, kw_only=True):
    type: str | None = None
    id: str | None = None


NONE = References()
_BODY = msgspec.json.Decoder(_Body)
_ENTRY = msgspec.json.Decoder(_Entry)


def references(body: bytes) -> References:
    """What ``body`` refers to in its ``input`` or ``items``.

    Raises:
        LocalWireError: It breaks the dialect.
    """
    if _WORD not in body:
        return NONE
    wire = decode(body, _BODY.decode, side="local")
    listed = wire.items or (wire.input if isinstance(wire.input, list) else None) or ()
    entries = [decode(each, _ENTRY.decode, side="local") for each in listed if _WORD in bytes(each)]
    named = wire.conversation
    return References(
        ids=tuple(each.id for each in entries if each.type == "item_reference" and each.id),
        conversation_id=named.id if isinstance(named, ConversationRef) else named,
    )
