"""What tends the database as a whole: orphans, retention, backup, a look at its health."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from callboard.store.records import ResponseRecord, RetentionPolicy, StoreReport
from callboard.store.retention import Holding, Unit, superfluous
from callboard.store.sqlite.engine import sync_directory, transaction
from callboard.store.sqlite.owners import Owner
from callboard.store.sqlite.responses import RECORD, record_of
from callboard.store.sqlite.schema import schema_version

_UNITS = """
SELECT 'tree', root, max(max(created_at_s, coalesce(finished_at_s, 0))), sum(NOT deleted), sum(bytes),
       max(owner <> '')
FROM responses GROUP BY root
UNION ALL
SELECT 'conversation', seq, updated_at_s, 0, bytes, 0 FROM conversations
ORDER BY 3, 1, 2
"""
_TREE = """
SELECT 'tree', root, max(max(created_at_s, coalesce(finished_at_s, 0))), sum(NOT deleted), sum(bytes),
       max(owner <> '')
FROM responses WHERE root = ? GROUP BY root
"""
_ORPHANS = """
SELECT seq FROM responses WHERE owner <> '' AND owner IN (SELECT value FROM json_each(?))
ORDER BY created_at_s, seq LIMIT ?
"""
_ADRIFT = """
SELECT seq FROM responses WHERE id IN (SELECT value FROM json_each(?)) AND owner = ?
ORDER BY created_at_s, seq
"""
_HOLDING = """
SELECT (SELECT count(*) FROM responses WHERE NOT deleted),
       (SELECT coalesce(sum(bytes), 0) FROM responses) + (SELECT coalesce(sum(bytes), 0) FROM conversations),
       (SELECT count(*) FROM conversations)
"""
MAX_PROBLEMS = 20


def claim(
    connection: apsw.Connection, owner: Owner, limit: int, adrift: Collection[str]
) -> list[ResponseRecord]:
    """Give ``owner`` up to ``limit`` live responses whose own owner is gone, and all ``adrift`` of its own.

    Those are written too, though nothing changes: where nothing can be written they cannot go on.
    """
    with transaction(connection):
        owners = connection.execute("SELECT DISTINCT owner FROM responses WHERE owner <> ''").fetchall()
        dead = msgspec.json.encode([name for (name,) in owners if not owner.is_alive(str(name))]).decode()
        numbers = connection.execute(_ORPHANS, (dead, max(limit, 0))).fetchall()
        if adrift:
            names = msgspec.json.encode(list(adrift)).decode()
            numbers += connection.execute(_ADRIFT, (names, owner.id)).fetchall()
        for number in numbers:
            connection.execute("UPDATE responses SET owner = ? WHERE seq = ?", (owner.id, *number))
        return [
            record_of(row)
            for place in numbers
            for row in connection.execute(f"{RECORD} WHERE r.seq = ?", place)
        ]


def plan_pruning(connection: apsw.Connection, policy: RetentionPolicy, now_s: int) -> list[Unit]:
    """What ``policy`` does not keep of what there is at this moment."""
    return list(superfluous(_units(connection), _holding(connection), policy, now_s))


def prune(connection: apsw.Connection, units: Sequence[Unit]) -> int:
    """Delete those of ``units`` that are still as they were. Returns how many responses are gone."""
    gone = 0
    with transaction(connection):
        for unit in units:
            if unit.kind == "conversation":
                connection.execute(
                    "DELETE FROM conversations WHERE seq = ? AND updated_at_s = ? AND bytes = ?",
                    (unit.number, unit.active_at_s, unit.bytes),
                )
            elif [_unit_of(row) for row in connection.execute(_TREE, (unit.number,))] == [unit]:
                connection.execute(
                    "DELETE FROM replies WHERE response_id IN (SELECT id FROM responses WHERE root = ?)",
                    (unit.number,),
                )
                connection.execute("DELETE FROM responses WHERE root = ?", (unit.number,))
                gone += unit.responses
    return gone


def prune_replies(connection: apsw.Connection, before_s: int, limit: int) -> bool:
    """Delete up to ``limit`` replies that are older than ``before_s``. Returns whether more may be left."""
    with transaction(connection):
        connection.execute(
            "DELETE FROM replies WHERE seq IN (SELECT seq FROM replies WHERE created_at_s < ? LIMIT ?)",
            (before_s, limit),
        )
        deleted = connection.changes()
    return deleted == limit


def backup(connection: apsw.Connection, path: Path) -> None:
    """Write what is in the database at this moment to ``path``, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    target = apsw.Connection(str(part))
    try:
        with target.backup("main", connection, "main") as copying:
            copying.step()  # all pages in one step: one read transaction, which does not block the writer
        # The pages say that there is a write-ahead log; a copy that is one file needs none.
        target.pragma("journal_mode", "delete")
    finally:
        target.close()
    descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)
    sync_directory(path.parent)


def check(connection: apsw.Connection) -> StoreReport:
    """As `callboard.store.store.Store.check`."""
    problems = [text for (text,) in connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")]
    dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    strays = [f"row {row} of {table} points nowhere" for table, row, *_ in dangling[:MAX_PROBLEMS]]
    holding = _holding(connection)
    return StoreReport(
        engine=f"SQLite {apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
        schema=schema_version(connection),
        problems=tuple(each for each in problems if each != "ok") + tuple(strays),
        responses=holding.responses,
        conversations=holding.conversations,
        bytes=holding.bytes,
    )


def _holding(connection: apsw.Connection) -> Holding:
    ((responses, size, conversations),) = connection.execute(_HOLDING)
    return Holding(responses=responses, bytes=size, conversations=conversations)


def _units(connection: apsw.Connection) -> Iterator[Unit]:
    return (_unit_of(row) for row in connection.execute(_UNITS))


def _unit_of(row: tuple[Any, ...]) -> Unit:
    kind, number, active_at_s, responses, size, live = row
    return Unit(
        kind=kind, number=number, active_at_s=active_at_s, responses=responses, bytes=size, live=bool(live)
    )
