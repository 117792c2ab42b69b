"""A process that works on one conversation, as several threads with event loops of their own.

    python -m tests.chats.appending_process append DATABASE CONVERSATION NAME THREADS MESSAGES
    python -m tests.chats.appending_process save DATABASE CONVERSATION FILE

``append`` adds messages; ``save`` adds one and exports the file, again and again, and says what is durable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from callboard.chats import ConversationManager
from callboard.chats.archive import export_file
from callboard.store.sqlite import open_sqlite

USER = "ada"


async def append(path: Path, conversation_id: str, name: str, messages: int) -> None:
    """Add ``messages``."""
    async with open_sqlite(path, busy_timeout_s=30) as store:
        manager = ConversationManager(store)
        for number in range(messages):
            await manager.add_message(USER, conversation_id, "user", f"{name}.{number}")


async def append_in_threads(arguments: list[str]) -> None:
    """Add messages from several threads, each with a store of its own."""
    database, conversation_id, name, threads, messages = arguments
    async with anyio.create_task_group() as tasks:
        for thread in range(int(threads)):
            own = partial(append, Path(database), conversation_id, f"{name}{thread}", int(messages))
            tasks.start_soon(run_in_thread, own)


async def run_in_thread(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` on an event loop of its own."""
    await to_thread.run_sync(anyio.run, work)


async def save(arguments: list[str]) -> None:
    """Add a message and export, until killed."""
    database, conversation_id, file = arguments
    async with open_sqlite(Path(database)) as store:
        manager = ConversationManager(store)
        number = 0
        while True:
            await manager.add_message(USER, conversation_id, "user", f"{number} " + "x" * 2_000)
            os.write(1, f"{number}\n".encode())
            await export_file(store, Path(file), USER)
            number += 1


if __name__ == "__main__":
    anyio.run(append_in_threads if sys.argv[1] == "append" else save, sys.argv[2:])
