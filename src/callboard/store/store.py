"""What every store does, wherever it keeps the data.

Changes are values (`callboard.store.changes`), and the one way to write is to commit a sequence of them. All
other methods read, but for three that tend the store as a whole: `Store.claim_orphans`, `Store.prune` and
`Store.backup`. Whatever takes a tenant treats what belongs to another exactly like what does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from callboard.domain.client_key import ClientKey
from callboard.errors import CallboardError
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


class Store(Protocol):
    """Responses with their logs, conversations with their items, replies, and client keys.

    Every method may raise `StoreUnavailable`: nothing is promised then, and it may be tried again.
    """

    @property
    def owner(self) -> str:
        """What it calls itself in `ResponseRecord.owner`; no other store of the same data has this name."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Do ``changes`` in their order, all or none; return once they are durable.

        A caller that is cancelled may find them done or not, never in part.

        Raises:
            Conflict, NotFound: What the first change says that cannot be done.
        """

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        """Do as many commits at the price of one; each is as `commit` would do it, in their order.

        Returns:
            For each batch what `commit` would raise, or None.
        """

    async def response(self, tenant: str, response_id: str) -> ResponseRecord | None:
        """The response, or None."""

    async def segments(self, response_id: str, after: int = -1, limit: int = 100) -> list[Segment]:
        """The log from the event after number ``after`` on, in order.

        Args:
            response_id: One that the caller may see; there is no tenant to check.
            after: Where it lies within a segment, that segment comes first, whole.
            limit: Of segments.
        """

    async def chain(self, tenant: str, response_id: str) -> tuple[TurnRecord, ...]:
        """The turns that led to ``response_id``, oldest first, and that one itself.

        Raises:
            UnknownResponse: The tenant has none of this id.
        """

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        """The conversation without its items, or None."""

    async def conversations(
        self, tenant: str, limit: int = 20, after: str | None = None, order: Order = "desc"
    ) -> list[ConversationRecord]:
        """A tenant's conversations by their creation, without their items.

        Args:
            tenant: Whose.
            limit: How many at most.
            after: Id of the one before the first to come, in this order.
            order: ``desc`` is newest first.

        Raises:
            NotFound: There is no conversation ``after``.
        """

    async def items(
        self,
        tenant: str,
        conversation_id: str,
        limit: int = 20,
        after: str | None = None,
        before: str | None = None,
        order: Order = "desc",
    ) -> list[ItemRecord]:
        """Items of a conversation, by their position.

        Args:
            tenant: Whose.
            conversation_id: Of which conversation.
            limit: How many at most: the first behind ``after``; with ``before`` alone, the last before that.
            after: Id of the item before the first to come, in this order.
            before: Id of the item behind the last to come, in this order.
            order: ``desc`` is newest first.

        Raises:
            NotFound: The tenant has no such conversation, or that has no item ``after`` or ``before``.
        """

    async def item(self, tenant: str, conversation_id: str, item_id: str) -> ItemRecord | None:
        """One item of a conversation, or None."""

    async def reply(self, tenant: str, key: str) -> StoredReply | None:
        """What the request with this Idempotency-Key was answered with; None if the key is free."""

    async def keys(self, after: int = 0) -> list[ClientKey]:
        """The client keys that were made or revoked since change number ``after``, in that order."""

    async def key_secret(self) -> bytes:
        """What tokens are hashed with: random, made when it is first asked for, and never among the data."""

    async def claim_orphans(self, limit: int = 100, adrift: Collection[str] = ()) -> list[ResponseRecord]:
        """Take over live responses whose owner is gone, oldest first.

        The caller sees to it that they go on, or end. Of several that claim at once each gets different
        ones.

        Args:
            limit: How many at most.
            adrift: Ids of responses of this store's own that nobody works on any more. Those of them that are
                live come too, without limit.
        """

    async def prune(self, policy: RetentionPolicy, now_s: int) -> int:
        """Delete what ``policy`` does not keep, a little at a time so that commits get their turn.

        Returns:
            How many responses are gone, of those that could still be found.
        """

    async def backup(self, path: Path) -> None:
        """Write a copy of the store as it is at one moment, while work goes on; replaces what is there.

        Raises:
            StoreUnavailable: It cannot be written, or this store has no such thing.
        """

    async def check(self) -> StoreReport:
        """Look whether the data is whole; reads all of it."""

    async def aclose(self) -> None:
        """Finish what is under way and let go of the data; live responses become orphans."""
