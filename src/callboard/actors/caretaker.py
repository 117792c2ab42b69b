"""Caretaker: tends the store.

It sees to the responses that a process left unfinished when it died, and lets go of what is no longer kept.

A response in the background goes on from where its log ends. One that had a reader has lost him with the
process: it ends as incomplete, and says why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Assistant, Cast, Undertake
from callboard.actors.kept_order import decode_order
from callboard.domain.observation import TurnTakenUp
from callboard.domain.turn_log import LogEvent, TurnBroken, decode_events, encode_events
from callboard.errors import CallboardError
from callboard.kernel import Actor, Child, Context, MailboxSpec, Notice
from callboard.store.changes import EndResponse
from callboard.store.records import ResponseRecord, RetentionPolicy, Segment

LOOK_AGAIN_S = 5.0
"""How soon the responses of another worker that died are noticed, and how long too much may be kept."""
AT_ONCE = 100


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
        self._claimed: list[ResponseRecord] = []

    @asynccontextmanager
    async def running(self, context: Context[Caretaker]) -> AsyncIterator[None]:
        """Looks around soon, and then again and again."""
        context.tell_later(LookAround(), after=0)
        yield

    async def receive(self, message: LookAround, context: Context[Caretaker]) -> None:
        """Takes up what it finds."""
        try:
            self._claimed += await self._cast.store.claim_orphans(AT_ONCE)
            while self._claimed:
                await self._take_up(self._claimed[0], context)
                del self._claimed[0]
            await self._cast.store.prune(self._policy, int(self._cast.now_s()))
        except CallboardError:
            pass  # the store says what is wrong at every door; the next look goes on where this one stopped
        context.tell_later(LookAround(), after=LOOK_AGAIN_S)

    async def _take_up(self, record: ResponseRecord, context: Context[Caretaker]) -> None:
        assistant = self._assistants.get(decode_order(record.request).assistant)
        goes_on = record.background and assistant is not None
        self._cast.observe(TurnTakenUp(response_id=record.id, continued=goes_on))
        if goes_on and assistant is not None:
            log = await self._log_of(record)
            await context.ref(assistant).tell(Undertake(record=record, log=tuple(log)))
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
        await context.ref(self._cast.archivist).ask(Commit(changes=(end,)))

    async def _log_of(self, record: ResponseRecord) -> list[LogEvent]:
        log: list[LogEvent] = []
        while len(log) < record.version:
            segments = await self._cast.store.segments(record.id, after=len(log) - 1)
            if not segments:
                break
            for segment in segments:
                log.extend(decode_events(segment.payload)[max(0, len(log) - segment.first) :])
        return log
