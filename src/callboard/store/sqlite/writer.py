"""The one writing connection of a store; only one thread at a time may use it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

import apsw

from callboard.errors import CallboardError, Refusal
from callboard.store.changes import (
    AppendEvents,
    AppendItems,
    BeginResponse,
    Change,
    DeleteConversation,
    DeleteItem,
    DeleteResponse,
    EndResponse,
    FinishReply,
    ForgetReply,
    PutConversation,
    PutKey,
    RememberReply,
    RevokeKey,
    UpdateConversation,
)
from callboard.store.sqlite import conversations, keys, replies, responses
from callboard.store.sqlite.engine import transaction
from callboard.store.sqlite.faults import UNAVAILABLE, unavailable

CHECKPOINT_PAGES = 1_000
"""The length of the write-ahead log, in pages of 4 KiB, from which on it is moved into the database."""


class Writer:
    """Commits groups of batches, and keeps the write-ahead log short.

    Attributes:
        connection: Its own.
        owner: Who keeps alive what it begins.
    """

    def __init__(
        self, connection: apsw.Connection, owner: str, *, checkpoint_pages: int = CHECKPOINT_PAGES
    ) -> None:
        self.connection = connection
        self.owner = owner
        self._checkpoint_pages = checkpoint_pages
        self._pages = 0
        # In the place of SQLite's own, which would make a commit fail or not by what comes after it.
        connection.set_wal_hook(self._note_pages)

    def commit(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        """Do ``batches`` in one transaction, each whole or not at all, and sync once.

        Returns:
            For each what kept it from being done, or None: then it is durable.
        """
        try:
            outcomes = self._all(batches)
        except UNAVAILABLE as error:
            # Nothing of any of them is there, whatever the savepoints had said.
            return [unavailable(error) for _ in batches]
        self.checkpoint()
        return outcomes

    def _all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        """As if none were refused, which is rare; where one is, all over again with a savepoint for each."""
        try:
            with transaction(self.connection):
                for batch in batches:
                    self._do(batch)
        except Refusal as refusal:
            if len(batches) == 1:
                return [refusal]
            with transaction(self.connection):
                return [self._outcome(batch) for batch in batches]
        return [None] * len(batches)

    def checkpoint(self) -> None:
        """Move the log into the database if it is long, as far as nobody still reads it."""
        if self._pages >= self._checkpoint_pages:
            # All is durable in the log. If the disk fails, it is tried again after the next commit.
            with suppress(*UNAVAILABLE):
                self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _note_pages(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _outcome(self, batch: Sequence[Change]) -> CallboardError | None:
        execute = self.connection.execute
        execute("SAVEPOINT batch")
        try:
            self._do(batch)
        except Refusal as refusal:
            execute("ROLLBACK TO batch")
            execute("RELEASE batch")
            return refusal
        execute("RELEASE batch")
        return None

    def _do(self, batch: Sequence[Change]) -> None:
        for change in batch:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        connection = self.connection
        match change:
            case BeginResponse():
                responses.begin(connection, change, self.owner)
            case AppendEvents():
                responses.append(connection, change)
            case EndResponse():
                responses.end(connection, change)
            case DeleteResponse():
                responses.delete(connection, change)
            case (
                PutConversation() | UpdateConversation() | DeleteConversation() | AppendItems() | DeleteItem()
            ):
                conversations.apply(connection, change)
            case RememberReply() | FinishReply() | ForgetReply():
                replies.apply(connection, change)
            case PutKey() | RevokeKey():
                keys.apply(connection, change)
            case _:
                assert_never(change)
