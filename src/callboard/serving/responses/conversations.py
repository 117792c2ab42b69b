"""``/v1/conversations``: conversations as objects, and their items.

``POST``, and ``GET``, ``POST`` and ``DELETE …/{id}``; ``POST`` and ``GET …/{id}/items``, and ``GET`` and
``DELETE …/items/{item_id}``. What a client appends goes behind whatever others append at the same time.

Source: OpenAI API reference, "Conversations" (as of the ``openai`` package 3.52).
"""

from __future__ import annotations

from collections.abc import Sequence

from callboard.actors.archivist import Commit
from callboard.domain.item import appended_id
from callboard.domain.message import Message
from callboard.errors import VersionConflict
from callboard.serving.query import Query
from callboard.serving.responses.references import kept_items
from callboard.serving.visit import Visit
from callboard.store.changes import (
    AppendItems,
    Change,
    DeleteConversation,
    DeleteItem,
    PutConversation,
    UpdateConversation,
)
from callboard.store.records import ConversationRecord, ItemRecord
from callboard.store.refusals import no_conversation, no_item
from callboard.wire.openai_responses.conversation import (
    decode_items,
    decode_metadata,
    decode_new,
    encode_conversation,
    encode_deleted,
)
from callboard.wire.openai_responses.items import PAGE, encode_item, encode_list


async def create(visit: Visit) -> None:
    """Begin a conversation, with items or without."""
    body = await visit.document()
    asked = decode_new(body, await kept_items(visit, body))
    now_s = int(visit.house.now_s())
    record = ConversationRecord(
        id=visit.house.new_id("conv_"),
        tenant=visit.principal.tenant,
        created_at_s=now_s,
        updated_at_s=now_s,
        metadata=asked.metadata,
    )
    items = _records(record, asked.items, now_s)
    more = (_append(record, items, now_s),) if items else ()
    await _commit(visit, PutConversation(record=record), *more)
    await _show(visit, record)


async def retrieve(visit: Visit) -> None:
    """Answer with a conversation."""
    await _show(visit, await conversation_of(visit, visit.parameters["conversation_id"]))


async def update(visit: Visit) -> None:
    """Replace what a client has to say of a conversation."""
    metadata = decode_metadata(await visit.document())
    change = UpdateConversation(
        tenant=visit.principal.tenant,
        id=visit.parameters["conversation_id"],
        metadata=metadata,
        updated_at_s=int(visit.house.now_s()),
    )
    await _commit(visit, change)
    await retrieve(visit)


async def delete(visit: Visit) -> None:
    """Delete a conversation with its items; the responses that were made in it stay."""
    conversation_id = visit.parameters["conversation_id"]
    await _commit(visit, DeleteConversation(tenant=visit.principal.tenant, id=conversation_id))
    await visit.exchange.respond(200, encode_deleted(conversation_id))


async def add_items(visit: Visit) -> None:
    """Append items, and answer with them."""
    body = await visit.document()
    given = decode_items(body, await kept_items(visit, body))
    while True:
        record = await conversation_of(visit, visit.parameters["conversation_id"])
        now_s = int(visit.house.now_s())
        items = _records(record, given, now_s)
        try:
            await _commit(visit, _append(record, items, now_s))
        except VersionConflict:
            continue  # somebody else has appended: behind theirs
        await _show_items(visit, items, has_more=False)
        return


async def list_items(visit: Visit) -> None:
    """Answer with a page of a conversation's items."""
    query = Query(visit.exchange)
    limit = query.limit(PAGE)
    found = await visit.house.store.items(
        visit.principal.tenant,
        visit.parameters["conversation_id"],
        limit=limit + 1,
        after=query.text("after"),
        order=query.order(),
    )
    await _show_items(visit, found[:limit], has_more=len(found) > limit)


async def retrieve_item(visit: Visit) -> None:
    """Answer with one item."""
    conversation_id, item_id = visit.parameters["conversation_id"], visit.parameters["item_id"]
    item = await visit.house.store.item(visit.principal.tenant, conversation_id, item_id)
    if item is None:
        await conversation_of(visit, conversation_id)
        raise no_item(item_id)
    await visit.exchange.respond(200, bytes(encode_item(item.id, item.message).data))


async def delete_item(visit: Visit) -> None:
    """Delete one item, and answer with its conversation."""
    change = DeleteItem(
        tenant=visit.principal.tenant,
        conversation_id=visit.parameters["conversation_id"],
        item_id=visit.parameters["item_id"],
    )
    await _commit(visit, change)
    await retrieve(visit)


async def conversation_of(visit: Visit, conversation_id: str) -> ConversationRecord:
    """The asker's conversation of this id.

    Raises:
        NotFound: There is none.
    """
    record = await visit.house.store.conversation(visit.principal.tenant, conversation_id)
    if record is None:
        raise no_conversation(conversation_id)
    return record


def _records(record: ConversationRecord, items: Sequence[Message], now_s: int) -> tuple[ItemRecord, ...]:
    """``items`` as the next ones of a conversation."""
    return tuple(
        ItemRecord(id=appended_id(record.id, item, place), message=item, created_at_s=now_s)
        for place, item in enumerate(items, record.version)
    )


def _append(record: ConversationRecord, items: tuple[ItemRecord, ...], now_s: int) -> AppendItems:
    return AppendItems(
        conversation_id=record.id, expected_version=record.version, items=items, updated_at_s=now_s
    )


async def _commit(visit: Visit, *changes: Change) -> None:
    await visit.house.archivist.ask(Commit(changes=changes))


async def _show(visit: Visit, record: ConversationRecord) -> None:
    body = encode_conversation(record.id, created_at=record.created_at_s, metadata=record.metadata)
    await visit.exchange.respond(200, body)


async def _show_items(visit: Visit, items: Sequence[ItemRecord], *, has_more: bool) -> None:
    page = [encode_item(item.id, item.message) for item in items]
    await visit.exchange.respond(200, encode_list(page, has_more=has_more))
