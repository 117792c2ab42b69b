"""Replies to Idempotency-Keys in SQLite: what changes them, and what reads them."""

from __future__ import annotations

from typing import TypeAlias, assert_never

import apsw

from callboard.store.changes import FinishReply, ForgetReply, RememberReply
from callboard.store.records import StoredReply
from callboard.store.refusals import no_reply, taken

ReplyChange: TypeAlias = RememberReply | FinishReply | ForgetReply


def apply(connection: apsw.Connection, change: ReplyChange) -> None:
    """Do ``change``."""
    execute = connection.execute
    match change:
        case RememberReply():
            _remember(connection, change.reply)
        case FinishReply():
            answer = (change.response_id, change.status, change.content_type, change.body)
            found = execute(
                "UPDATE replies SET response_id = ?, status = ?, content_type = ?, body = ?"
                " WHERE tenant = ? AND key = ? RETURNING 1",
                (*answer, change.tenant, change.key),
            ).get
            if found is None:
                raise no_reply(change.key)
        case ForgetReply():
            execute("DELETE FROM replies WHERE tenant = ? AND key = ?", (change.tenant, change.key))
        case _:
            assert_never(change)


def reply(connection: apsw.Connection, tenant: str, key: str) -> StoredReply | None:
    """As `callboard.store.store.Store.reply`."""
    row = connection.execute(
        "SELECT request_hash, response_id, status, content_type, body, created_at_s FROM replies"
        " WHERE tenant = ? AND key = ?",
        (tenant, key),
    ).fetchone()
    if row is None:
        return None
    return StoredReply(
        tenant=tenant,
        key=key,
        request_hash=row[0],
        response_id=row[1],
        status=row[2],
        content_type=row[3],
        body=row[4],
        created_at_s=row[5],
    )


def _remember(connection: apsw.Connection, kept: StoredReply) -> None:
    if reply(connection, kept.tenant, kept.key) is not None:
        raise taken("Idempotency-Key", kept.key)
    connection.execute(
        "INSERT INTO replies"
        " (tenant, key, request_hash, response_id, status, content_type, body, created_at_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            kept.tenant,
            kept.key,
            kept.request_hash,
            kept.response_id,
            kept.status,
            kept.content_type,
            kept.body,
            kept.created_at_s,
        ),
    )
