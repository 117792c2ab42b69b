"""A turn's conversation: what it goes on from, and what it adds to it.

A turn follows another one, whose chain the store has, or it stands in a conversation, an object of its own
that others may append to and take from at any time. In a conversation, what was asked and what came of it are
appended when the turn comes to its end, together with that end: whoever sees the one sees the other. A turn
that breaks off, or is cancelled, adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Literal, TypeAlias

from callboard.actors.archivist import Commit
from callboard.actors.order import Company, TurnOrder
from callboard.domain.block import Block
from callboard.domain.delta import BlockStarted
from callboard.domain.item import hidden_id, input_id, is_shown, shown_id, taken_apart
from callboard.domain.message import Message
from callboard.domain.turn_log import LogEvent, RoundEnded, TurnInterrupted
from callboard.errors import AlreadyExists, NotFound, UnknownResponse, VersionConflict
from callboard.store.changes import AppendItems, Change
from callboard.store.records import ItemRecord
from callboard.store.store import Store

ITEMS_AT_ONCE = 500

Role: TypeAlias = Literal["user", "assistant"]
_Round: TypeAlias = tuple[range, frozenset[int]]
"""Of one generation: the places of the items that were shown, and of the blocks that were not."""
_Place: TypeAlias = tuple[bool, int]
"""Whether an item was shown, and its number among those that were, or were not."""

_NOTHING: _Round = (range(0), frozenset())


async def earlier(store: Store, order: TurnOrder) -> tuple[Message, ...]:
    """What was said before a turn, item by item.

    Raises:
        UnknownResponse: The turn is to follow a response that the tenant does not have.
        NotFound: It is to stand in a conversation that the tenant does not have.
    """
    if order.previous_response_id is not None:
        chain = await store.chain(order.principal.tenant, order.previous_response_id)
        return tuple(message for link in chain for message in (*link.input, *link.produced))
    if order.conversation_id is not None:
        return await _items(store, order.principal.tenant, order.conversation_id)
    return ()


async def _items(store: Store, tenant: str, conversation_id: str) -> tuple[Message, ...]:
    found: list[ItemRecord] = []
    while True:
        after = found[-1].id if found else None
        try:
            page = await store.items(tenant, conversation_id, limit=ITEMS_AT_ONCE, after=after, order="asc")
        except NotFound:
            if after is None or await store.conversation(tenant, conversation_id) is None:
                raise
            found.clear()  # the item that we stood at was deleted meanwhile
            continue
        found += page
        if len(page) < ITEMS_AT_ONCE:
            return tuple(item.message for item in found)


class Thread:
    """The conversation that a turn stands in. Used by one turn.

    It is fed the turn's log, from which it learns what the response shows: those items have the same names in
    the conversation.
    """

    def __init__(self, company: Company, order: TurnOrder, conversation_id: str) -> None:
        self._company = company
        self._order = order
        self._conversation_id = conversation_id
        self._shown = 0
        self._mark = 0
        self._rounds: list[_Round] = []

    def feed(self, event: LogEvent) -> None:
        """Take in what happens next."""
        match event:
            case BlockStarted() if is_shown(event.block):
                self._shown += 1
            case RoundEnded():
                unseen = frozenset(each.place for each in event.hidden)
                self._rounds.append((range(self._mark, self._shown), unseen))
                self._mark = self._shown
            case TurnInterrupted():
                self._mark = self._shown  # what was shown of a generation that is lost is in no conversation

    async def commit(self, changes: Sequence[Change], produced: Sequence[Message], now_s: int) -> None:
        """Commit ``changes``, and with them what the turn adds to the conversation.

        Where others have appended meanwhile it goes behind theirs; a conversation that was deleted gets
        nothing.

        Args:
            changes: What else the end of the turn changes.
            produced: The turn's messages.
            now_s: Seconds since the epoch.

        Raises:
            Conflict, NotFound: What ``changes`` meet.
            StoreUnavailable: Nothing was written.
        """
        store, tenant = self._company.store, self._order.principal.tenant
        items = tuple(self._records(produced, now_s))
        renamed = False
        while True:
            record = await store.conversation(tenant, self._conversation_id)
            append: tuple[Change, ...] = ()
            if record is not None and items:
                append = (
                    AppendItems(
                        conversation_id=self._conversation_id,
                        expected_version=record.version,
                        items=items,
                        updated_at_s=now_s,
                    ),
                )
            try:
                await self._company.archivist.ask(Commit(changes=(*changes, *append)))
            except UnknownResponse:
                raise
            except AlreadyExists:
                if not append or renamed:
                    raise
                # A provider has given two thoughts one name; ours are unlike any other.
                items, renamed = tuple(self._records(produced, now_s, ours=True)), True
            except (VersionConflict, NotFound):
                # Either the conversation has gone on, or what stands against it is not its own.
                if not append or await store.conversation(tenant, self._conversation_id) == record:
                    raise
            else:
                return

    def _records(
        self, produced: Sequence[Message], now_s: int, *, ours: bool = False
    ) -> Iterator[ItemRecord]:
        """What the turn adds, in order; with ``ours`` no name is a provider's."""
        for place, item in enumerate(taken_apart(self._order.input)):
            name = input_id(self._order.response_id, item, place)
            yield ItemRecord(id=name, message=item, created_at_s=now_s)
        taken: set[str] = set()
        for block, role, where in self._places(produced):
            name = self._name(block, where, ours=ours)
            if name in taken:
                name = self._name(block, where, ours=True)
            taken.add(name)
            message = Message(role=role, content=(block,))
            yield ItemRecord(id=name, message=message, created_at_s=now_s)

    def _places(self, produced: Sequence[Message]) -> Iterator[tuple[Block, Role, _Place]]:
        """Each block with its place: among those that were shown, or among those that were not."""
        rounds, hidden = iter(self._rounds), count()
        for message in produced:
            shown, unseen = next(rounds, _NOTHING) if message.role == "assistant" else _NOTHING
            places = iter(shown)
            for at, block in enumerate(message.content):
                seen = None if at in unseen or not is_shown(block) else next(places, None)
                yield block, message.role, (True, seen) if seen is not None else (False, next(hidden))

    def _name(self, block: Block, place: _Place, *, ours: bool) -> str:
        is_seen, number = place
        if not is_seen:
            return hidden_id(self._order.response_id, block, number)
        return shown_id(self._order.response_id, block, number, ours=ours)
