"""A process that writes until it is killed, and says on standard output what it was promised.

    python writing_process.py DATABASE NAME [COMMITS]

Each commit is a finished turn with its log, a reply and an item. Every tenth is one that stays live.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from callboard.store import Change, RememberReply, Store
from callboard.store.sqlite import open_sqlite
from tests.contracts.store_world import append, begin, put, reply, segment

CLIENTS = 4


def changes_of(name: str, client: str, number: int) -> tuple[Change, ...]:
    """What one commit does."""
    if number % 10 == 9:
        return (begin(name, segment(0, 5), status="in_progress"),)
    log = (segment(0, 2, "a" * 700), segment(2, 1, "b" * 3_000))
    previous = f"{client}.{number - 1}" if number % 10 else None
    return (
        begin(name, *log, previous=previous),
        RememberReply(reply=reply(name, response_id=name)),
        append(client, number - number // 10, name),
    )


async def write(store: Store, client: str, commits: int) -> None:
    """Commit, and say so; live turns belong to no conversation and continue nothing."""
    await store.commit((put(client),))
    for number in range(commits):
        name = f"{client}.{number}"
        await store.commit(changes_of(name, client, number))
        os.write(1, f"{name}\n".encode())


async def main(path: Path, name: str, commits: int) -> None:
    """Write as several clients at once."""
    async with open_sqlite(path, busy_timeout_s=30) as store, anyio.create_task_group() as tasks:
        for client in range(CLIENTS):
            tasks.start_soon(write, store, f"{name}{client}", commits)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 10**9)
