"""Finds the kept items that a request refers to.

The name of an item says whose it is. An item that is named otherwise, as thoughts are that keep their
provider's name for them, is looked for in the request's own conversation, and among the items of all
responses that the request refers to.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from callboard.domain.item import owner_of
from callboard.serving.responses.stored import response_object
from callboard.serving.visit import Visit
from callboard.store.records import ResponseRecord
from callboard.wire.openai_responses.items import encode_item, input_items
from callboard.wire.openai_responses.references import references


class _Named(Struct, frozen=True):
    id: str = ""


class _Output(Struct, frozen=True):
    output: tuple[Raw, ...] = ()


_NAMED = msgspec.json.Decoder(_Named)
_OUTPUT = msgspec.json.Decoder(_Output)


async def kept_items(visit: Visit, body: bytes) -> Mapping[str, Raw]:
    """Those items that ``body`` refers to and that the asker has, by their ids.

    Raises:
        LocalWireError: It breaks the dialect.
    """
    wanted = references(body)
    found: dict[str, Raw] = {}
    conversations = {wanted.conversation_id}
    responses: set[str] = set()
    for item_id in wanted.ids:
        owner = owner_of(item_id)
        if owner is not None:
            conversations.add(owner.conversation_id)
            responses.add(owner.response_id)
    for response_id in sorted(responses):
        record = await visit.house.store.response(visit.principal.tenant, response_id)
        if record is not None:
            found.update(await _items_of(visit, record))
    for conversation_id in sorted(filter(None, conversations)):
        for item_id in wanted.ids:
            if item_id not in found:
                item = await visit.house.store.item(visit.principal.tenant, conversation_id, item_id)
                if item is not None:
                    found[item_id] = encode_item(item_id, item.message).data
    return found


async def _items_of(visit: Visit, record: ResponseRecord) -> dict[str, Raw]:
    shown = _OUTPUT.decode(await response_object(visit, record)).output
    given = {item.id: item.data for item in input_items(record.id, record.input)}
    return {**given, **{_NAMED.decode(item).id: item.copy() for item in shown}}
