"""Responses and their logs in SQLite: what changes them, and what reads them."""

from __future__ import annotations

from typing import Any

import apsw

from callboard.domain.codec import decode_messages, encode_messages
from callboard.errors import CallboardError
from callboard.store.changes import AppendEvents, BeginResponse, DeleteResponse, EndResponse
from callboard.store.records import LIVE, ResponseRecord, Segment, TurnRecord
from callboard.store.refusals import log_moved_on, no_response, taken, version_after
from callboard.store.sizes import size_of_segments

RECORD = """
SELECT r.id, r.tenant, r.status, r.created_at_s, r.finished_at_s, r.model, r.background, previous.id,
       r.conversation_id, i.request, i.input, r.produced, r.version, r.owner
FROM responses AS r
JOIN inputs AS i ON i.response = r.seq
LEFT JOIN responses AS previous ON previous.seq = r.previous
"""
# One statement, because between any two the thread gives way to the event loop and waits for its turn again;
# and one of a single row, because what is inserted from a SELECT of the same table is put aside first.
_BEGIN = """
INSERT INTO responses (seq, id, tenant, status, created_at_s, finished_at_s, model, background,
                       previous, root, conversation_id, version, bytes, owner, produced)
VALUES (
    (SELECT coalesce(max(seq), 0) + 1 FROM responses),
    :id, :tenant, :status, :created_at_s, :finished_at_s, :model, :background,
    (SELECT seq FROM responses WHERE id = :previous_id AND tenant = :tenant AND NOT deleted),
    coalesce(
        (SELECT root FROM responses WHERE id = :previous_id AND tenant = :tenant AND NOT deleted),
        (SELECT coalesce(max(seq), 0) + 1 FROM responses)
    ),
    :conversation_id, :version, :bytes, :owner, :produced
)
ON CONFLICT (id) DO NOTHING
RETURNING seq, previous
"""
_CHAIN = """
WITH RECURSIVE chain (seq, previous, distance) AS (
    SELECT seq, previous, 0 FROM responses WHERE id = ? AND tenant = ? AND NOT deleted
    UNION ALL
    SELECT r.seq, r.previous, distance + 1 FROM chain JOIN responses AS r ON r.seq = chain.previous
)
SELECT r.id, i.input, r.produced
FROM chain JOIN responses AS r ON r.seq = chain.seq JOIN inputs AS i ON i.response = chain.seq
ORDER BY distance DESC
"""
# The segment with event after + 1 is the last one that begins no later; what is before need not be looked at.
_SEGMENTS = """
SELECT first, count, payload FROM segments
WHERE response = :response AND first + count - 1 > :after AND first >= coalesce(
    (SELECT max(first) FROM segments WHERE response = :response AND first <= :after + 1), 0)
ORDER BY first LIMIT :limit
"""


def begin(connection: apsw.Connection, change: BeginResponse, owner: str) -> None:
    """Do ``change``; ``owner`` keeps it alive if it is live."""
    record = change.record
    given, produced = encode_messages(record.input), encode_messages(record.produced)
    begun = connection.execute(
        _BEGIN,
        {
            "id": record.id,
            "tenant": record.tenant,
            "status": record.status,
            "created_at_s": record.created_at_s,
            "finished_at_s": record.finished_at_s,
            "model": record.model,
            "background": record.background,
            "previous_id": record.previous_id,
            "conversation_id": record.conversation_id,
            "version": version_after(0, change.segments),
            "bytes": len(record.request) + len(given) + len(produced) + size_of_segments(change.segments),
            "owner": owner if record.status in LIVE else "",
            "produced": produced,
        },
    ).get
    if begun is None:
        raise taken("response", record.id)
    number, previous = begun
    if record.previous_id is not None and previous is None:
        raise no_response(record.previous_id)
    connection.execute(
        "INSERT INTO inputs (response, request, input) VALUES (?, ?, ?)", (number, record.request, given)
    )
    for segment in change.segments:
        _add_segment(connection, number, segment)


def append(connection: apsw.Connection, change: AppendEvents) -> None:
    """Do ``change``."""
    version = version_after(change.expected_version, (change.segment,))
    number = connection.execute(
        "UPDATE responses SET version = ?, bytes = bytes + ?, status = coalesce(?, status)"
        " WHERE id = ? AND version = ? AND owner <> '' RETURNING seq",
        (
            version,
            len(change.segment.payload),
            change.status,
            change.response_id,
            change.expected_version,
        ),
    ).get
    if number is None:
        raise _why_not(connection, change.response_id)
    _add_segment(connection, number, change.segment)


def end(connection: apsw.Connection, change: EndResponse) -> None:
    """Do ``change``."""
    segments = () if change.segment is None else (change.segment,)
    produced = encode_messages(change.produced)
    number = connection.execute(
        "UPDATE responses SET version = ?, bytes = bytes + ? - length(produced), status = ?, produced = ?,"
        " finished_at_s = ?, owner = '' WHERE id = ? AND version = ? AND owner <> '' RETURNING seq",
        (
            version_after(change.expected_version, segments),
            size_of_segments(segments) + len(produced),
            change.status,
            produced,
            change.finished_at_s,
            change.response_id,
            change.expected_version,
        ),
    ).get
    if number is None:
        raise _why_not(connection, change.response_id)
    for segment in segments:
        _add_segment(connection, number, segment)


def delete(connection: apsw.Connection, change: DeleteResponse) -> None:
    """Do ``change``."""
    execute = connection.execute
    number = _seq(connection, change.tenant, change.id)
    execute("DELETE FROM replies WHERE response_id = ?", (change.id,))
    if _has_children(connection, number):
        execute("DELETE FROM segments WHERE response = ?", (number,))
        execute("UPDATE inputs SET request = x'' WHERE response = ?", (number,))
        execute(
            "UPDATE responses SET deleted = 1, owner = '', bytes = length(produced) +"
            " (SELECT length(input) FROM inputs WHERE response = seq) WHERE seq = ?",
            (number,),
        )
        return
    gone: int | None = number
    while gone is not None:
        parent = execute("DELETE FROM responses WHERE seq = ? RETURNING previous", (gone,)).get
        is_hidden = parent and execute("SELECT deleted FROM responses WHERE seq = ?", (parent,)).get
        gone = parent if is_hidden and not _has_children(connection, parent) else None


def response(connection: apsw.Connection, tenant: str, response_id: str) -> ResponseRecord | None:
    """As `callboard.store.store.Store.response`."""
    row = connection.execute(
        f"{RECORD} WHERE r.id = ? AND r.tenant = ? AND NOT r.deleted", (response_id, tenant)
    ).fetchone()
    return None if row is None else record_of(row)


def segments(connection: apsw.Connection, response_id: str, after: int, limit: int) -> list[Segment]:
    """As `callboard.store.store.Store.segments`."""
    number = connection.execute("SELECT seq FROM responses WHERE id = ?", (response_id,)).get
    rows = connection.execute(_SEGMENTS, {"response": number, "after": after, "limit": max(limit, 0)})
    return [Segment(first=first, count=count, payload=payload) for first, count, payload in rows]


def chain(connection: apsw.Connection, tenant: str, response_id: str) -> tuple[TurnRecord, ...]:
    """As `callboard.store.store.Store.chain`."""
    turns = tuple(
        TurnRecord(id=name, input=decode_messages(given), produced=decode_messages(produced))
        for name, given, produced in connection.execute(_CHAIN, (response_id, tenant))
    )
    if not turns:
        raise no_response(response_id)
    return turns


def record_of(row: tuple[Any, ...]) -> ResponseRecord:
    """The response of a row of `RECORD`."""
    return ResponseRecord(
        id=row[0],
        tenant=row[1],
        status=row[2],
        created_at_s=row[3],
        finished_at_s=row[4],
        model=row[5],
        background=bool(row[6]),
        previous_id=row[7],
        conversation_id=row[8],
        request=row[9],
        input=decode_messages(row[10]),
        produced=decode_messages(row[11]),
        version=row[12],
        owner=row[13],
    )


def _seq(connection: apsw.Connection, tenant: str, response_id: str) -> int:
    number: int | None = connection.execute(
        "SELECT seq FROM responses WHERE id = ? AND tenant = ? AND NOT deleted", (response_id, tenant)
    ).get
    if number is None:
        raise no_response(response_id)
    return number


def _has_children(connection: apsw.Connection, number: int) -> bool:
    return connection.execute("SELECT 1 FROM responses WHERE previous = ? LIMIT 1", (number,)).get is not None


def _add_segment(connection: apsw.Connection, number: int, segment: Segment) -> None:
    connection.execute(
        "INSERT INTO segments (response, first, count, payload) VALUES (?, ?, ?, ?)",
        (number, segment.first, segment.count, segment.payload),
    )


def _why_not(connection: apsw.Connection, response_id: str) -> CallboardError:
    known = connection.execute("SELECT 1 FROM responses WHERE id = ? AND NOT deleted", (response_id,)).get
    return no_response(response_id) if known is None else log_moved_on(response_id)
