"""Archivist: the only writer of the store. It commits together what comes together.

While one group is being synced the next gathers, so that the price of a sync is shared by all who wait for
it. When as many wait as one group holds, the actor takes no more, its mailbox fills, and then senders wait:
a slow disk slows them down, and grows nothing. Whoever leaves meanwhile takes nothing back: a commit that
the Archivist has taken is made.

Reading is not its business; whoever has the store reads from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
from anyio.lowlevel import checkpoint

from callboard.kernel import Actor, Context, MailboxSpec, Promise, Request
from callboard.store import AppendEvents, Change, DeleteResponse, EndResponse, Store

LARGEST_GROUP = 256
"""Commits that are synced together at most, and as many as gather meanwhile."""

QUIET_TURNS = 2
"""A group is written once so many turns of the event loop in a row have brought it nobody: waking the store's
thread costs as much as a tenth of a response, so whoever is about to commit may come along."""

MOST_TURNS = 16
"""After so many it is written whoever comes."""


def _nobody(_response_id: str) -> None:
    """For a store that nobody watches."""


class Commit(Request["Archivist", None], frozen=True, kw_only=True):
    """Do ``changes`` in their order, all or none. Answered once they are durable.

    Raises:
        Conflict, NotFound: What the first change says that cannot be done.
        StoreUnavailable: Nothing could be written.
    """

    changes: tuple[Change, ...]


class Archivist(Actor[Commit]):
    """See the module's docstring.

    Args:
        store: Opened and closed by whoever made it, so that a restart loses nothing.
        written: Told the id of each response that was written to, once that is durable.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1024)

    def __init__(self, store: Store, written: Callable[[str], None] = _nobody) -> None:
        self._store = store
        self._written = written
        self._gathered: list[tuple[tuple[Change, ...], Promise[None]]] = []

    @asynccontextmanager
    async def running(self, context: Context[Archivist]) -> AsyncIterator[None]:
        """Starts the task that writes."""
        self._work = anyio.Event()
        self._room = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
        # Those whose askers have left are waited for by nobody, and made all the same.
        with anyio.CancelScope(shield=True):
            await self._write_group()

    async def receive(self, message: Commit, context: Context[Archivist]) -> None:
        """Adds to the next group, once that has room."""
        while len(self._gathered) >= LARGEST_GROUP:
            self._room = anyio.Event()
            await self._room.wait()
        self._gathered.append((message.changes, context.promise(message)))
        self._work.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            await self._gather()
            await self._write_group()

    async def _gather(self) -> None:
        known, quiet = len(self._gathered), 0
        for _ in range(MOST_TURNS):
            await checkpoint()
            quiet = quiet + 1 if len(self._gathered) == known else 0
            known = len(self._gathered)
            if quiet == QUIET_TURNS or known >= LARGEST_GROUP:
                return

    async def _write_group(self) -> None:
        group, self._gathered = self._gathered, []
        self._room.set()
        if not group:
            return
        # An end that cannot wait leaves the group to the store, which finishes what it has begun.
        outcomes = await self._store.commit_all([changes for changes, _ in group])
        for (changes, promise), outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                promise.refuse(outcome)
                continue
            promise.keep(None)
            self._tell(changes)

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, AppendEvents | EndResponse):
                self._written(change.response_id)
            elif isinstance(change, DeleteResponse):
                self._written(change.id)
