"""The store in memory.

It keeps the whole contract but durability: a commit is done at once, and gone with the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from anyio.lowlevel import checkpoint

from callboard.domain.client_key import ClientKey
from callboard.errors import CallboardError, NotFound, StoreUnavailable, UnknownResponse
from callboard.store.changes import Change
from callboard.store.in_memory.tables import OWNER, ResponseRow, Tables
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
from callboard.store.refusals import no_conversation, no_item
from callboard.store.retention import Holding, superfluous

T = TypeVar("T")

KEY_SECRET_BYTES = 32


class InMemoryStore:
    """A `callboard.store.store.Store` that lives as long as the process; nobody else can claim from it."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._key_secret = secrets.token_bytes(KEY_SECRET_BYTES)

    @property
    def owner(self) -> str:
        """Under which name it keeps live responses alive."""
        return OWNER

    async def commit(self, changes: Sequence[Change]) -> None:
        """Do ``changes``, all or none."""
        await checkpoint()
        self._tables.apply(changes)

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        """Do as many commits."""
        await checkpoint()
        return [self._outcome(batch) for batch in batches]

    def _outcome(self, batch: Sequence[Change]) -> CallboardError | None:
        try:
            self._tables.apply(batch)
        except CallboardError as refusal:
            return refusal
        return None

    async def response(self, tenant: str, response_id: str) -> ResponseRecord | None:
        """The response, or None."""
        try:
            return self._tables.visible(tenant, response_id).record
        except UnknownResponse:
            return None

    async def segments(self, response_id: str, after: int = -1, limit: int = 100) -> list[Segment]:
        """The log from the event after number ``after`` on."""
        log = self._tables.segments.get(response_id, [])
        return [each for each in log if each.first + each.count - 1 > after][: max(limit, 0)]

    async def chain(self, tenant: str, response_id: str) -> tuple[TurnRecord, ...]:
        """The turns that led to ``response_id``."""
        row: ResponseRow | None = self._tables.visible(tenant, response_id)
        turns: list[TurnRecord] = []
        while row is not None:
            record = row.record
            turns.append(TurnRecord(id=record.id, input=record.input, produced=record.produced))
            row = self._tables.responses.get(record.previous_id or "")
        return tuple(reversed(turns))

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        """The conversation, or None."""
        try:
            return self._tables.conversation(tenant, conversation_id).record
        except NotFound:
            return None

    async def conversations(
        self, tenant: str, limit: int = 20, after: str | None = None, order: Order = "desc"
    ) -> list[ConversationRecord]:
        """A tenant's conversations by their creation."""
        rows = [row for row in self._tables.conversations.values() if row.record.tenant == tenant]
        rows.sort(key=lambda row: (row.record.created_at_s, row.number), reverse=order == "desc")
        records = [row.record for row in rows]
        places = {record.id: place for place, record in enumerate(records)}
        if after is not None and after not in places:
            raise no_conversation(after)
        return _page(records, limit, None if after is None else places[after], None)

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
        self._tables.conversation(tenant, conversation_id)
        items = list(self._tables.items[conversation_id].values())
        items.sort(key=lambda item: item.position, reverse=order == "desc")
        places = {item.id: place for place, item in enumerate(items)}
        for cursor in (after, before):
            if cursor is not None and cursor not in places:
                raise no_item(cursor)
        return _page(
            items,
            limit,
            None if after is None else places[after],
            None if before is None else places[before],
        )

    async def item(self, tenant: str, conversation_id: str, item_id: str) -> ItemRecord | None:
        """One item, or None."""
        if await self.conversation(tenant, conversation_id) is None:
            return None
        return self._tables.items[conversation_id].get(item_id)

    async def reply(self, tenant: str, key: str) -> StoredReply | None:
        """What a key was answered with, or None."""
        return self._tables.replies.get((tenant, key))

    async def keys(self, after: int = 0) -> list[ClientKey]:
        """The client keys that changed since change number ``after``."""
        changed = [key for key in self._tables.keys.values() if key.version > after]
        return sorted(changed, key=lambda key: key.version)

    async def key_secret(self) -> bytes:
        """What tokens are hashed with."""
        return self._key_secret

    async def claim_orphans(self, limit: int = 100, adrift: Collection[str] = ()) -> list[ResponseRecord]:
        """Those of ``adrift`` that are live: all is this process's here, and ends with it."""
        rows = [self._tables.responses.get(response_id) for response_id in adrift]
        live = [row for row in rows if row is not None and row.record.owner and not row.hidden]
        return [row.record for row in sorted(live, key=lambda row: (row.record.created_at_s, row.number))]

    async def prune(self, policy: RetentionPolicy, now_s: int) -> int:
        """Delete what ``policy`` does not keep, in one step."""
        await checkpoint()
        tables = self._tables
        if policy.max_reply_age_s is not None:
            oldest_s = now_s - policy.max_reply_age_s
            for place in [place for place, each in tables.replies.items() if each.created_at_s < oldest_s]:
                del tables.replies[place]
        units = sorted(tables.units(), key=lambda unit: (unit.active_at_s, unit.kind, unit.number))
        gone = list(superfluous(units, self._holding(), policy, now_s))
        tables.remove(gone)
        return sum(unit.responses for unit in gone)

    async def backup(self, path: Path) -> None:
        """There is no such thing.

        Raises:
            StoreUnavailable: Always.
        """
        raise StoreUnavailable("A store in memory cannot be backed up.")

    async def check(self) -> StoreReport:
        """Count; memory is whole."""
        holding = self._holding()
        return StoreReport(
            engine="memory",
            schema=0,
            problems=(),
            responses=holding.responses,
            conversations=holding.conversations,
            bytes=holding.bytes,
        )

    async def aclose(self) -> None:
        """Forget everything."""
        self._tables = Tables()

    def _holding(self) -> Holding:
        units = list(self._tables.units())
        return Holding(
            responses=sum(unit.responses for unit in units),
            bytes=sum(unit.bytes for unit in units),
            conversations=len(self._tables.conversations),
        )


def _page(rows: list[T], limit: int, after: int | None, before: int | None) -> list[T]:
    """Those of ``rows`` strictly between two places; with the second alone, the last of them."""
    between = rows[0 if after is None else after + 1 : before]
    if limit <= 0:
        return []
    return between[-limit:] if after is None and before is not None else between[:limit]
