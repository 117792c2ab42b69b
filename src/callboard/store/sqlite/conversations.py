"""Conversations and their items in SQLite: what changes them, and what reads them."""

from __future__ import annotations

from typing import Any, TypeAlias, assert_never

import apsw
import msgspec

from callboard.domain.codec import decode_message, encode_message
from callboard.store.changes import (
    AppendItems,
    DeleteConversation,
    DeleteItem,
    PutConversation,
    UpdateConversation,
)
from callboard.store.records import ConversationRecord, ItemRecord, Order
from callboard.store.refusals import conversation_moved_on, no_conversation, no_item, taken

ConversationChange: TypeAlias = (
    PutConversation | UpdateConversation | DeleteConversation | AppendItems | DeleteItem
)
_RECORD = "SELECT id, tenant, created_at_s, updated_at_s, title, metadata, version FROM conversations"
_ITEM = "SELECT id, position, message, created_at_s FROM items"
_METADATA = msgspec.json.Decoder(dict[str, str])


def apply(connection: apsw.Connection, change: ConversationChange) -> None:
    """Do ``change``."""
    execute = connection.execute
    match change:
        case PutConversation():
            _put(connection, change.record)
        case UpdateConversation():
            metadata = None if change.metadata is None else msgspec.json.encode(change.metadata)
            execute(
                "UPDATE conversations SET title = coalesce(?, title), metadata = coalesce(?, metadata),"
                " updated_at_s = ? WHERE seq = ?",
                (change.title, metadata, change.updated_at_s, _seq(connection, change.tenant, change.id)),
            )
        case DeleteConversation():
            execute("DELETE FROM conversations WHERE seq = ?", (_seq(connection, change.tenant, change.id),))
        case AppendItems():
            _append(connection, change)
        case DeleteItem():
            number = _seq(connection, change.tenant, change.conversation_id)
            size = execute(
                "DELETE FROM items WHERE conversation = ? AND id = ? RETURNING length(message)",
                (number, change.item_id),
            ).get
            if size is None:
                raise no_item(change.item_id)
            execute("UPDATE conversations SET bytes = bytes - ? WHERE seq = ?", (size, number))
        case _:
            assert_never(change)


def _put(connection: apsw.Connection, record: ConversationRecord) -> None:
    if connection.execute("SELECT 1 FROM conversations WHERE id = ?", (record.id,)).get is not None:
        raise taken("conversation", record.id)
    connection.execute(
        "INSERT INTO conversations (id, tenant, created_at_s, updated_at_s, title, metadata, version, bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
        (
            record.id,
            record.tenant,
            record.created_at_s,
            record.updated_at_s,
            record.title,
            msgspec.json.encode(record.metadata),
        ),
    )


def _append(connection: apsw.Connection, change: AppendItems) -> None:
    execute = connection.execute
    row = execute("SELECT seq, version FROM conversations WHERE id = ?", (change.conversation_id,)).fetchone()
    if row is None:
        raise no_conversation(change.conversation_id)
    number, version = row
    if version != change.expected_version:
        raise conversation_moved_on(change.conversation_id)
    size = 0
    for position, item in enumerate(change.items, version):
        if _position(connection, number, item.id) is not None:
            raise taken("item", item.id)
        message = encode_message(item.message)
        size += len(message)
        execute(
            "INSERT INTO items (conversation, position, id, message, created_at_s) VALUES (?, ?, ?, ?, ?)",
            (number, position, item.id, message, item.created_at_s),
        )
    execute(
        "UPDATE conversations SET version = version + ?, bytes = bytes + ?, updated_at_s = ? WHERE seq = ?",
        (len(change.items), size, change.updated_at_s, number),
    )


def conversation(connection: apsw.Connection, tenant: str, conversation_id: str) -> ConversationRecord | None:
    """As `callboard.store.store.Store.conversation`."""
    row = connection.execute(f"{_RECORD} WHERE id = ? AND tenant = ?", (conversation_id, tenant)).fetchone()
    return None if row is None else _record_of(row)


def conversations(
    connection: apsw.Connection, tenant: str, limit: int, after: str | None, order: Order
) -> list[ConversationRecord]:
    """As `callboard.store.store.Store.conversations`."""
    beyond, direction = (">", "ASC") if order == "asc" else ("<", "DESC")
    place: tuple[object, ...] = ()
    if after is not None:
        found = connection.execute(
            "SELECT created_at_s, seq FROM conversations WHERE id = ? AND tenant = ?", (after, tenant)
        ).fetchone()
        if found is None:
            raise no_conversation(after)
        place = found
    rows = connection.execute(
        f"{_RECORD} WHERE tenant = ? {f'AND (created_at_s, seq) {beyond} (?, ?)' if place else ''}"
        f" ORDER BY created_at_s {direction}, seq {direction} LIMIT ?",
        (tenant, *place, max(limit, 0)),
    )
    return [_record_of(row) for row in rows]


class ItemQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which items; as the arguments of `callboard.store.store.Store.items`."""

    tenant: str
    conversation_id: str
    limit: int
    after: str | None
    before: str | None
    order: Order


def items(connection: apsw.Connection, query: ItemQuery) -> list[ItemRecord]:
    """As `callboard.store.store.Store.items`."""
    number = _seq(connection, query.tenant, query.conversation_id)
    after = _cursor(connection, number, query.after)
    before = _cursor(connection, number, query.before)
    low, high = (after, before) if query.order == "asc" else (before, after)
    # With `before` alone the nearest to it are wanted: read from there, then turn around.
    turned = after is None and before is not None
    direction = "ASC" if (query.order == "asc") is not turned else "DESC"
    rows = connection.execute(
        f"{_ITEM} WHERE conversation = ? AND position > coalesce(?, -1) AND position < coalesce(?, 1 << 62)"
        f" ORDER BY position {direction} LIMIT ?",
        (number, low, high, max(query.limit, 0)),
    )
    found = [_item_of(row) for row in rows]
    return found[::-1] if turned else found


def item(connection: apsw.Connection, tenant: str, conversation_id: str, item_id: str) -> ItemRecord | None:
    """As `callboard.store.store.Store.item`."""
    number = _find(connection, tenant, conversation_id)
    row = connection.execute(f"{_ITEM} WHERE conversation = ? AND id = ?", (number, item_id)).fetchone()
    return None if row is None else _item_of(row)


def _find(connection: apsw.Connection, tenant: str, conversation_id: str) -> int | None:
    number: int | None = connection.execute(
        "SELECT seq FROM conversations WHERE id = ? AND tenant = ?", (conversation_id, tenant)
    ).get
    return number


def _seq(connection: apsw.Connection, tenant: str, conversation_id: str) -> int:
    number = _find(connection, tenant, conversation_id)
    if number is None:
        raise no_conversation(conversation_id)
    return number


def _position(connection: apsw.Connection, number: int, item_id: str) -> int | None:
    position: int | None = connection.execute(
        "SELECT position FROM items WHERE conversation = ? AND id = ?", (number, item_id)
    ).get
    return position


def _cursor(connection: apsw.Connection, number: int, item_id: str | None) -> int | None:
    if item_id is None:
        return None
    position = _position(connection, number, item_id)
    if position is None:
        raise no_item(item_id)
    return position


def _record_of(row: tuple[Any, ...]) -> ConversationRecord:
    return ConversationRecord(
        id=row[0],
        tenant=row[1],
        created_at_s=row[2],
        updated_at_s=row[3],
        title=row[4],
        metadata=_METADATA.decode(row[5]),
        version=row[6],
    )


def _item_of(row: tuple[Any, ...]) -> ItemRecord:
    return ItemRecord(id=row[0], position=row[1], message=decode_message(row[2]), created_at_s=row[3])
