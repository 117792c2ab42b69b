"""Caretaker: tends the store.

It sees to the responses that a process left unfinished when it died, and to those of this process that are
adrift (`callboard.store.adrift`), and lets go of what is no longer kept.

A response in the background goes on from where its log ends. One that had a reader has lost him with the
process: it ends as incomplete, and its error says why. So does one that cannot be read, and one that comes
adrift again and again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Assistant, Cast, Undertake
from callboard.actors.kept_order import decode_order
from callboard.domain.observation import TurnTakenUp
from callboard.domain.turn_log import LogEvent, TurnBroken, decode_events, encode_events
from callboard.errors import CallboardError, Conflict, NotFound, StoreUnavailable
from callboard.kernel import Actor, Child, Context, MailboxSpec, Notice
from callboard.store.changes import EndResponse
from callboard.store.records import ResponseRecord, RetentionPolicy, Segment

LOOK_AGAIN_S = 5.0
"""How soon the responses of another worker that died are noticed, and how long too much may be kept."""
AT_ONCE = 100
TAKEN_UP = 5
"""How often one process takes up a response: each time costs what is generated again."""


class LookAround(Notice["Caretaker"], frozen=True, kw_only=True):
    """Look for unfinished responses that nobody works on, and for what is not to be kept any longer."""


class Caretaker(Actor[LookAround]):
    """See the module's docstring.

    Args:
        cast: The store, and who writes to it.
        assistants: By the names that stored orders have.
        policy: How much is kept.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=4)

    def __init__(
        self, cast: Cast, assistants: Mapping[str, Child[Assistant]], policy: RetentionPolicy
    ) -> None:
        self._cast = cast
        self._assistants = assistants
        self._policy = policy

    @asynccontextmanager
    async def running(self, context: Context[Caretaker]) -> AsyncIterator[None]:
        """Looks around soon, and then again and again."""
        context.tell_later(LookAround(), after=0)
        yield

    async def receive(self, message: LookAround, context: Context[Caretaker]) -> None:
        """Takes up what it finds."""
        try:
            while await self._look(context) >= AT_ONCE:
                pass
            await self._cast.store.prune(self._policy, int(self._cast.now_s()))
        except CallboardError:
            pass  # the store says what is wrong at every door; the next look goes on where this one stopped
        context.tell_later(LookAround(), after=LOOK_AGAIN_S)

    async def _look(self, context: Context[Caretaker]) -> int:
        """Take up some; returns how many."""
        adrift = self._cast.adrift
        waiting = adrift.waiting()
        found = await self._cast.store.claim_orphans(AT_ONCE, adrift=waiting)
        ids = {record.id for record in found}
        adrift.forget(each for each in waiting if each not in ids)
        for each in ids:
            adrift.let_go(each)  # until it is in somebody's hands
        for record in found:
            await self._take_up(record, context)
            adrift.taken_up(record.id)
        return len(found)

    async def _take_up(self, record: ResponseRecord, context: Context[Caretaker]) -> None:
        assistant, log = await self._means_to_go_on(record)
        goes_on = assistant is not None
        self._cast.observe(TurnTakenUp(response_id=record.id, continued=goes_on))
        if assistant is not None:
            await context.ref(assistant).tell(Undertake(record=record, log=log))
            return
        last = Segment(first=record.version, count=1, payload=encode_events([TurnBroken(why="lost")]))
        end = EndResponse(
            response_id=record.id,
            expected_version=record.version,
            segment=last,
            status="incomplete",
            produced=(),
            finished_at_s=int(self._cast.now_s()),
        )
        with suppress(Conflict, NotFound):  # somebody was quicker to end it, or has deleted it
            await context.ref(self._cast.archivist).ask(Commit(changes=(end,)))

    async def _means_to_go_on(
        self, record: ResponseRecord
    ) -> tuple[Child[Assistant] | None, tuple[LogEvent, ...]]:
        """Who goes on with a response from which log; nobody, where it is to end."""
        if not record.background or self._cast.adrift.times(record.id) > TAKEN_UP:
            return None, ()
        segments = await self._segments_of(record)
        try:
            log = [event for each in segments for event in decode_events(each.payload)]
            return self._assistants.get(decode_order(record.request).assistant), tuple(log)
        except StoreUnavailable:
            return None, ()  # what is stored cannot be read, now or later

    async def _segments_of(self, record: ResponseRecord) -> list[Segment]:
        found: list[Segment] = []
        read = 0
        while read < record.version:
            some = await self._cast.store.segments(record.id, after=read - 1)
            if not some:
                break  # it was deleted
            found += some
            read = some[-1].first + some[-1].count
        return found
