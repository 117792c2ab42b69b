"""Power failures, replayed: what disks can hold when the power goes, and what a store must find on them.

A workload runs on a file system that writes down every write, truncation, sync and deletion, and in the same
log, when a commit was acknowledged. At each boundary between two of these the power may fail. A disk then
holds of each file what was synced last, and of what was done to it since nothing, everything, or any part,
torn at the 512 bytes of a sector. A store opened on such a disk must be sound, and hold exactly the first k
commits: all that were acknowledged, at most one more, each whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import apsw
from msgspec import Struct

from callboard.errors import CallboardError
from callboard.store import Change, DeleteResponse, RememberReply
from callboard.store.sqlite.engine import Place, connect_writer
from callboard.store.sqlite.schema import migrate
from callboard.store.sqlite.writer import Writer
from tests.contracts.store_world import T, append, begin, end, put, reply, segment
from tests.store.file_systems import Ack, Delete, Event, Sync, Truncate, Write, recording

SECTOR = 512
NAME = "store.db"
TABLES = ("responses", "inputs", "segments", "conversations", "items", "replies")

Kept: TypeAlias = Literal["none", "all", "half"]
Mutant: TypeAlias = Literal[
    "none", "OFF", "NORMAL", "FULL", "early acknowledgement", "two transactions", "no sync"
]


class Recording(Struct, frozen=True):
    """A run of a workload.

    Attributes:
        log: What reached the file system, and the acknowledgements.
        states: What the database held after each commit, the empty one first.
    """

    log: tuple[Event, ...]
    states: tuple[str, ...]


class Disk(Struct, frozen=True):
    """What may be on the disk.

    Attributes:
        acknowledged: How many commits were by then.
    """

    boundary: int
    acknowledged: int
    files: dict[str, bytes]


def workload(groups: int, seed: int) -> Iterator[list[list[Change]]]:
    """Groups of commits as a server makes them: turns with all that belongs to them, logs, deletions."""
    chance = random.Random(seed)
    yield [[put("c")]]
    items = 0
    older: list[str] = []
    for group in range(1, groups):
        batches: list[list[Change]] = []
        for part in range(chance.choice((1, 1, 1, 3))):
            name = f"r{group}.{part}"
            text = "x" * chance.choice((10, 600, 9_000))
            match chance.randrange(4):
                case 0:
                    batches.append(
                        [
                            begin(name, segment(0, text=text)),
                            append("c", items, name),
                            RememberReply(reply=reply(name, response_id=name)),
                        ]
                    )
                    items += 1
                    older.append(name)
                case 1:
                    batches.append([begin(name, status="in_progress"), end(name, 0)])
                case 2:
                    batches.append([begin(name, segment(0, text=text)), begin(f"{name}+", previous=name)])
                case _:
                    gone = [DeleteResponse(tenant=T, id=older.pop(0))] if older else []
                    batches.append([begin(name), *gone])
        yield batches


def record(directory: Path, groups: int, *, seed: int = 1, mutant: Mutant = "none") -> Recording:
    """Run the workload, by a writer as it is or one with a fault that the replay must find."""
    with recording() as (vfs, system):
        connection = connect_writer(Place(path=directory / NAME, vfs=vfs))
        migrate(connection)
        if mutant in ("OFF", "NORMAL", "FULL"):
            connection.pragma("journal_mode", "delete")
            connection.pragma("synchronous", mutant)
            connection.pragma("journal_mode", "wal")
        writer = Writer(connection, "somebody", checkpoint_pages=12)
        system.log.append(Ack(0))
        states = [contents(connection)]
        for number, batches in enumerate(workload(groups, seed), 1):
            if mutant == "early acknowledgement":
                system.log.append(Ack(number))
            parts = [batches]
            if mutant == "two transactions":
                first, *others = (change for batch in batches for change in batch)
                parts = [[[first]], [others]]
            for part in parts:
                assert writer.commit(part) == [None] * len(part)
            states.append(contents(connection))
            system.log.append(Ack(number))
        connection.close()
        log = [each for each in system.log if mutant != "no sync" or not isinstance(each, Sync)]
    return Recording(tuple(log), tuple(states))


def disks(run: Recording, seed: int, share: float = 1.0) -> Iterator[Disk]:
    """Every boundary, with nothing, everything and twice a random half of what was not synced.

    Only a random ``share`` of them are given.
    """
    chance = random.Random(seed)
    synced: dict[str, bytes | None] = {}
    pending: dict[str, list[Event]] = {}
    acknowledged = -1
    for boundary, event in enumerate(run.log):
        if isinstance(event, Ack):
            acknowledged = event.commits
        else:
            pending.setdefault(event.file, []).append(event)
            if isinstance(event, Sync) or (isinstance(event, Delete) and event.synced):
                image = _after(synced.get(event.file), pending.pop(event.file), "all", chance)
                synced[event.file] = image
        kinds: tuple[Kept, ...] = ("none", "all", "half", "half") if any(pending.values()) else ("all",)
        for kept in kinds:
            if chance.random() >= share:
                continue
            images = {
                name: _after(synced.get(name), pending.get(name, []), kept, chance)
                for name in {*synced, *pending}
            }
            files = {name: image for name, image in images.items() if image is not None}
            yield Disk(boundary, acknowledged, files)


def _after(image: bytes | None, events: Iterable[Event], kept: Kept, chance: random.Random) -> bytes | None:
    """A file after some of ``events``; None if it does not exist."""
    content = None if image is None else bytearray(image)
    for event in events:
        match event:
            case Delete() if _is_kept(kept, chance):
                content = None
            case Truncate(size=size) if content is not None and _is_kept(kept, chance):
                content = content[:size].ljust(size, b"\x00")
            case Write(offset=offset, data=data):
                for start in range(0, len(data), SECTOR):
                    if _is_kept(kept, chance):
                        content = _written(content, offset + start, data[start : start + SECTOR])
            case _:
                pass
    return None if content is None else bytes(content)


def _is_kept(kept: Kept, chance: random.Random) -> bool:
    return kept == "all" or (kept == "half" and chance.random() < 0.5)


def _written(content: bytearray | None, offset: int, data: bytes) -> bytearray:
    grown = (content or bytearray()).ljust(offset + len(data), b"\x00")
    grown[offset : offset + len(data)] = data
    return grown


def fault_of(disk: Disk, run: Recording, directory: Path) -> str | None:
    """What is wrong with the store on ``disk``; None if nothing."""
    try:
        return _fault_of(disk, run, directory)
    except (apsw.Error, CallboardError) as error:
        return f"cannot be used: {error}"


def _fault_of(disk: Disk, run: Recording, directory: Path) -> str | None:
    for left in directory.iterdir():
        left.unlink()
    for name, image in disk.files.items():
        (directory / name).write_bytes(image)
    connection = connect_writer(Place(path=directory / NAME))
    try:
        connection.pragma("synchronous", "OFF")  # nobody needs this disk any more
        migrate(connection)
        problems = connection.execute("PRAGMA integrity_check").fetchall()
        if problems != [("ok",)] or connection.execute("PRAGMA foreign_key_check").fetchall():
            return f"is not sound: {problems}"
        held = contents(connection)
    finally:
        connection.close()
    if held in run.states[max(disk.acknowledged, 0) : disk.acknowledged + 2]:
        return None
    return f"lost one of {disk.acknowledged} commits" if held in run.states else "holds part of a commit"


def contents(connection: apsw.Connection) -> str:
    """All that the tables hold."""
    return repr([connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES])
