"""The store in one SQLite file, for any number of processes on one machine.

One connection writes. Whatever waits when it becomes free goes into one transaction with one sync
(`callboard.store.sqlite.group`), and a commit returns after that. A few others read, each in its own thread
while it does; neither waits for the other. The event loop never touches the file.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import apsw
from anyio import CapacityLimiter, to_thread

from callboard.domain.client_key import ClientKey
from callboard.errors import CallboardError, StoreUnavailable
from callboard.store.changes import Change
from callboard.store.records import (
    ConversationRecord,
    ItemRecord,
    Order,
    ResponseRecord,
    RetentionPolicy,
    Segment,
    StoredReply,
    StoreReport,
    TurnRecord,
)
from callboard.store.sqlite import conversations, keys, replies, responses, upkeep
from callboard.store.sqlite.engine import (
    Place,
    connect_reader,
    connect_writer,
    make_private,
    opening,
    refuse_lossy_sqlite,
    sqlite_version,
)
from callboard.store.sqlite.faults import UNAVAILABLE, faults_translated, unavailable
from callboard.store.sqlite.group import Batches, GroupCommit, Outcomes
from callboard.store.sqlite.key_secret import key_secret
from callboard.store.sqlite.mounts import mounts, refuse_networked
from callboard.store.sqlite.owners import Owner
from callboard.store.sqlite.schema import migrate
from callboard.store.sqlite.writer import Writer

T = TypeVar("T")

PRUNED_AT_ONCE = 64
"""Trees and conversations, or replies by the tenfold, that one transaction of `SqliteStore.prune` deletes."""


class SqliteStore:
    """A `callboard.store.store.Store`; made by `open_sqlite`."""

    def __init__(self, place: Place, writer: Writer, owner: Owner, *, readers: int) -> None:
        self._place = place
        self._writer = writer
        self._owner = owner
        self._readers = readers
        self._idle: list[apsw.Connection] = []
        self._writing = CapacityLimiter(1)
        self._reading = CapacityLimiter(readers)
        self._closed = False
        self._group = GroupCommit(self._commit)

    @property
    def owner(self) -> str:
        """Under which name it keeps live responses alive."""
        return self._owner.id

    async def commit(self, changes: Sequence[Change]) -> None:
        """Do ``changes``, all or none; they are synced when this returns."""
        (outcome,) = await self._group.submit((changes,))
        if outcome is not None:
            raise outcome

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        """Do as many commits with one sync."""
        return await self._group.submit(batches)

    async def response(self, tenant: str, response_id: str) -> ResponseRecord | None:
        """The response, or None."""
        return await self._read(partial(responses.response, tenant=tenant, response_id=response_id))

    async def segments(self, response_id: str, after: int = -1, limit: int = 100) -> list[Segment]:
        """The log from the event after number ``after`` on."""
        return await self._read(
            partial(responses.segments, response_id=response_id, after=after, limit=limit)
        )

    async def chain(self, tenant: str, response_id: str) -> tuple[TurnRecord, ...]:
        """The turns that led to ``response_id``."""
        return await self._read(partial(responses.chain, tenant=tenant, response_id=response_id))

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        """The conversation, or None."""
        return await self._read(
            partial(conversations.conversation, tenant=tenant, conversation_id=conversation_id)
        )

    async def conversations(
        self, tenant: str, limit: int = 20, after: str | None = None, order: Order = "desc"
    ) -> list[ConversationRecord]:
        """A tenant's conversations by their creation."""
        return await self._read(
            partial(conversations.conversations, tenant=tenant, limit=limit, after=after, order=order)
        )

    async def items(
        self,
        tenant: str,
        conversation_id: str,
        limit: int = 20,
        after: str | None = None,
        before: str | None = None,
        order: Order = "desc",
    ) -> list[ItemRecord]:
        """Items of a conversation, by their position."""
        query = conversations.ItemQuery(
            tenant=tenant,
            conversation_id=conversation_id,
            limit=limit,
            after=after,
            before=before,
            order=order,
        )
        return await self._read(partial(conversations.items, query=query))

    async def item(self, tenant: str, conversation_id: str, item_id: str) -> ItemRecord | None:
        """One item, or None."""
        return await self._read(
            partial(conversations.item, tenant=tenant, conversation_id=conversation_id, item_id=item_id)
        )

    async def reply(self, tenant: str, key: str) -> StoredReply | None:
        """What a key was answered with, or None."""
        return await self._read(partial(replies.reply, tenant=tenant, key=key))

    async def keys(self, after: int = 0) -> list[ClientKey]:
        """The client keys that changed since change number ``after``."""
        return await self._read(partial(keys.changed, after=after))

    async def key_secret(self) -> bytes:
        """What tokens are hashed with: the file ``-key-secret`` beside the database."""
        with faults_translated():
            return await to_thread.run_sync(key_secret, self._place.path, limiter=self._reading)

    async def claim_orphans(self, limit: int = 100, adrift: Collection[str] = ()) -> list[ResponseRecord]:
        """Take over live responses of stores that are closed, or whose process is gone."""
        return await self._write(partial(upkeep.claim, owner=self._owner, limit=limit, adrift=adrift))

    async def prune(self, policy: RetentionPolicy, now_s: int) -> int:
        """Delete what ``policy`` does not keep, in small transactions."""
        if policy.max_reply_age_s is not None:
            old = partial(
                upkeep.prune_replies, before_s=now_s - policy.max_reply_age_s, limit=10 * PRUNED_AT_ONCE
            )
            while await self._write(old):
                pass
        units = await self._read(partial(upkeep.plan_pruning, policy=policy, now_s=now_s))
        gone = 0
        for start in range(0, len(units), PRUNED_AT_ONCE):
            some = units[start : start + PRUNED_AT_ONCE]
            gone += await self._write(partial(upkeep.prune, units=some))
        return gone

    async def backup(self, path: Path) -> None:
        """Write a copy to ``path``, while work goes on."""
        await self._read(partial(upkeep.backup, path=path))

    async def check(self) -> StoreReport:
        """Run SQLite's own checks."""
        return await self._read(upkeep.check)

    async def aclose(self) -> None:
        """Wait for what is under way, and close the file; whatever comes later is refused."""
        with anyio.CancelScope(shield=True):
            if self._closed:
                return
            self._closed = True
            places = [object() for _ in range(self._readers)]
            for place in places:
                await self._reading.acquire_on_behalf_of(place)
            await to_thread.run_sync(self._close, limiter=self._writing)
            for place in places:
                self._reading.release_on_behalf_of(place)

    def _close(self) -> None:
        for connection in (*self._idle, self._writer.connection):
            # It moves the log into the database as far as it can; all is durable in either.
            with suppress(*UNAVAILABLE):
                connection.close()
        self._owner.close()

    # In threads.

    async def _commit(self, batches: Batches) -> Outcomes:
        if self._closed:
            return [_closed() for _ in batches]
        return await to_thread.run_sync(self._writer.commit, batches, limiter=self._writing)

    async def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._closed:
            raise _closed()

        def run() -> T:
            with faults_translated():
                done = work(self._writer.connection)
            self._writer.checkpoint()
            return done

        return await to_thread.run_sync(run, limiter=self._writing)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        return await to_thread.run_sync(self._with_reader, work, limiter=self._reading)

    def _with_reader(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._closed:
            raise _closed()
        connection = self._reader()
        try:
            with connection:
                found = work(connection)
        except UNAVAILABLE as error:
            connection.close()
            raise unavailable(error) from error
        except BaseException:
            self._idle.append(connection)
            raise
        self._idle.append(connection)
        return found

    def _reader(self) -> apsw.Connection:
        try:
            return self._idle.pop()
        except IndexError:  # asked for before, another thread might take the last
            with faults_translated():
                return connect_reader(self._place)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The store is closed.")


@asynccontextmanager
async def open_sqlite(
    path: Path, *, readers: int = 4, busy_timeout_s: float = 5.0, vfs: str = ""
) -> AsyncIterator[SqliteStore]:
    """Open the store in the file ``path``, made if it is missing; closed on the way out.

    Args:
        path: Of the database. It has company: ``-wal``, ``-shm``, ``-owner-…`` and ``-key-secret`` beside it.
        readers: How many threads read at once.
        busy_timeout_s: How long to wait for other processes that write.
        vfs: Name of SQLite's file system layer, for tests; "" is its own.

    Raises:
        ConfigurationError: The file is not for this version, or on a network file system, or SQLite is one
            that loses data.
        StoreUnavailable: It cannot be opened or made.
    """
    whole = Path(await anyio.Path(path).absolute())
    place = Place(path=whole, busy_timeout_s=busy_timeout_s, vfs=vfs)
    refuse_lossy_sqlite(sqlite_version())
    with anyio.CancelScope(shield=True):
        writer, owner = await to_thread.run_sync(_open, place)
    store = SqliteStore(place, writer, owner, readers=readers)
    try:
        yield store
    finally:
        await store.aclose()


def _open(place: Place) -> tuple[Writer, Owner]:
    refuse_networked(place.path.resolve(), mounts())
    try:
        make_private(place.path)
        with opening(place.path):
            connection = connect_writer(place)
            try:
                migrate(connection)
                owner = Owner(place.path, secrets.token_hex(8))
            except BaseException:
                connection.close()
                raise
    except UNAVAILABLE as error:
        refusal = unavailable(error)
        raise StoreUnavailable(f"{place.path}: {refusal} ({error})") from error
    return Writer(connection, owner.id), owner
