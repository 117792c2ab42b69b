"""Writes the log of one turn, through the Archivist.

Events are added as they happen and become durable together: at the latest when somebody `settle`s, before
what follows may be shown or done. A turn whose reader has gone before anything had to be durable leaves no
trace; one that comes to its end in one go is stored in one commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio
from msgspec.structs import replace

from callboard.actors.archivist import Archivist, Commit
from callboard.actors.conversation import Thread
from callboard.domain.block import ToolUseBlock
from callboard.domain.delta import BlockStarted, BlockStopped
from callboard.domain.message import Message
from callboard.domain.turn_log import LogEvent, TurnBroken, encode_events
from callboard.errors import CallboardError
from callboard.kernel import ActorRef
from callboard.store.adrift import Adrift
from callboard.store.changes import AppendEvents, BeginResponse, Change, EndResponse
from callboard.store.records import ResponseRecord, Segment, Status

FEW = 64
"""Events that may wait to become durable before whoever writes faster than the store waits for it."""


class Recorder:
    """See the module's docstring. Used by one turn; `settle` may be called by several of its tasks.

    Attributes:
        stored: Whether the response may be in the store.
        ended: Whether its end is.

    Args:
        archivist: Writes.
        record: The response. One that is stored already is continued at its version.
        stored: Whether it is.

    Of a response in the background, whose readers see what is logged, a call is logged when it is whole:
    should the process be lost in the midst of one, nobody has seen half of it.
    """

    def __init__(
        self, archivist: ActorRef[Archivist], record: ResponseRecord, *, stored: bool = False
    ) -> None:
        self.stored = stored
        self.ended = False
        self._archivist = archivist
        self._record = record
        self._version = record.version
        self._status: Status = record.status
        self._waiting: list[LogEvent] = []
        self._held: list[LogEvent] = []
        self._under_way: list[LogEvent] = []
        self._more = anyio.Event()
        self._turn = anyio.Lock(fast_acquire=True)

    def add(self, events: Iterable[LogEvent]) -> None:
        """Log ``events`` behind those before them."""
        if self._record.background:
            for event in events:
                self._hold(event)
        else:
            self._waiting += events
            self._more.set()

    def _hold(self, event: LogEvent) -> None:
        """Add it once nothing of it can be lost that somebody has seen."""
        if isinstance(event, TurnBroken):
            self._held.clear()
        if self._held or _begins_a_call(event):
            self._held.append(event)
            if not isinstance(event, BlockStopped):
                return
            self._waiting += self._held
            self._held.clear()
        else:
            self._waiting.append(event)
        self._more.set()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that nothing should be added before a `settle`."""
        return len(self._waiting) >= FEW

    async def settle(self) -> None:
        """Return when everything that was added is durable.

        Raises:
            StoreUnavailable: It cannot be.
            VersionConflict: Somebody else has ended the response.
            UnknownResponse: Somebody has deleted it.
        """
        async with self._turn:
            if self._waiting or not self.stored:
                await self._commit(self._next())

    async def keep_up(self) -> None:
        """Make events durable as they come, several at a time where they come fast, until cancelled."""
        while True:
            await self._more.wait()
            await self.settle()

    async def end(
        self,
        status: Status,
        produced: tuple[Message, ...],
        finished_at_s: int,
        thread: Thread | None = None,
    ) -> None:
        """End the response together with what was added last.

        Args:
            status: How it ended.
            produced: What it added.
            finished_at_s: Seconds since the epoch.
            thread: The conversation that gets its items, in the same commit.

        Raises: as `settle`.
        """
        async with self._turn:
            segment = self._segment()
            end: Change
            if self.stored:
                end = EndResponse(
                    response_id=self._record.id,
                    expected_version=segment.first if segment else self._version,
                    segment=segment,
                    status=status,
                    produced=produced,
                    finished_at_s=finished_at_s,
                )
            else:
                record = replace(self._record, status=status, produced=produced, finished_at_s=finished_at_s)
                end = BeginResponse(record=record, segments=(segment,) if segment else ())
            if thread is None:
                await self._commit([end])
            else:
                await self._write(lambda: thread.commit([end], produced, finished_at_s))
            self.ended = True

    def let_go(self, adrift: Adrift) -> None:
        """Say so where the response is left as it stands, for somebody to take it up."""
        if self.ended:
            adrift.forget((self._record.id,))
        elif self.stored:
            adrift.let_go(self._record.id)

    async def _commit(self, changes: list[Change]) -> None:
        await self._write(lambda: self._archivist.ask(Commit(changes=tuple(changes))))

    async def _write(self, commit: Callable[[], Awaitable[None]]) -> None:
        self.stored = True
        try:
            # Whoever leaves meanwhile waits too: what comes next has to know whether this is in the log.
            with anyio.CancelScope(shield=True):
                await commit()
        except CallboardError:
            self._version -= len(self._under_way)
            self._waiting[:0] = self._under_way
            raise
        finally:
            self._under_way = []

    def _next(self) -> list[Change]:
        segment = self._segment()
        if not self.stored:
            return [BeginResponse(record=self._record, segments=(segment,) if segment else ())]
        if segment is None:
            return []
        running: Status | None = "in_progress" if self._status == "queued" else None
        self._status = "in_progress"
        return [
            AppendEvents(
                response_id=self._record.id, expected_version=segment.first, segment=segment, status=running
            )
        ]

    def _segment(self) -> Segment | None:
        events = self._under_way = self._waiting
        self._waiting = []
        self._more = anyio.Event()
        if not events:
            return None
        segment = Segment(first=self._version, count=len(events), payload=encode_events(events))
        self._version += len(events)
        return segment


def _begins_a_call(event: LogEvent) -> bool:
    return isinstance(event, BlockStarted) and isinstance(event.block, ToolUseBlock)
