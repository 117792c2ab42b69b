"""Writes the log of one turn, through the Archivist.

Events are added as they happen and become durable together: at the latest when somebody `settle`s, before
what follows may be shown or done. A turn whose reader has gone before anything had to be durable leaves no
trace; one that comes to its end in one go is stored in one commit.

The log is cut into segments of bounded length, each encoded when it is full: a long answer holds nobody up at
its end, neither here nor where it is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
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

LONGEST_SEGMENT = 512
"""Events of a segment; encoding or decoding one takes a fraction of a millisecond."""


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
        self._full: list[Segment] = []
        self._under_way: list[Segment] = []
        self._besides: tuple[Change, ...] = ()
        self._more: anyio.Event | None = None
        self._writing = False
        self._written: anyio.Event | None = None

    def add(self, events: Iterable[LogEvent]) -> None:
        """Log ``events`` behind those before them."""
        if self._record.background:
            for event in events:
                self._hold(event)
        else:
            self._take(events)

    def _take(self, events: Iterable[LogEvent]) -> None:
        self._waiting += events
        while len(self._waiting) >= LONGEST_SEGMENT:
            self._cut()
        if self._more is not None:
            self._more.set()

    def _hold(self, event: LogEvent) -> None:
        """Add it once nothing of it can be lost that somebody has seen."""
        if isinstance(event, TurnBroken):
            self._held.clear()
        if self._held or _begins_a_call(event):
            self._held.append(event)
            if not isinstance(event, BlockStopped):
                return
            self._take(self._held)
            self._held.clear()
        else:
            self._take((event,))

    def add_changes(self, changes: tuple[Change, ...]) -> None:
        """Commit ``changes`` together with what is added next, or is `settle`d; tried once."""
        self._besides += changes

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that nothing should be added before a `settle`."""
        return bool(self._full) or len(self._waiting) >= FEW

    async def settle(self) -> None:
        """Return when everything that was added is durable.

        Raises:
            StoreUnavailable: It cannot be.
            VersionConflict: Somebody else has ended the response.
            UnknownResponse: Somebody has deleted it.
            Conflict: What else was to be committed cannot be, and nothing was.
        """
        await self._wait_for_others()
        if self._waiting or self._full or self._besides or not self.stored:
            await self._commit(self._next())

    async def keep_up(self) -> None:
        """Make events durable as they come, several at a time where they come fast, until cancelled."""
        while True:
            if not (self._waiting or self._full):
                self._more = anyio.Event()
                await self._more.wait()
            await self.settle()

    async def end(
        self,
        events: Iterable[LogEvent],
        status: Status,
        produced: tuple[Message, ...],
        finished_at_s: int,
        thread: Thread | None = None,
    ) -> None:
        """End the response together with its last events.

        They are added here: where they were written by themselves, a process that died before the end was
        would leave a log with an end, of a response without.

        Args:
            events: The last ones, which tell of the end.
            status: How it ended.
            produced: What it added.
            finished_at_s: Seconds since the epoch.
            thread: The conversation that gets its items, in the same commit.

        Raises: as `settle`.
        """
        await self._wait_for_others()
        before = list(self._waiting), list(self._full), self._version
        self.add(events)
        segments = self._segments()
        changes: list[Change]
        if self.stored:
            last = segments.pop() if segments else None
            end = EndResponse(
                response_id=self._record.id,
                expected_version=last.first if last else self._version,
                segment=last,
                status=status,
                produced=produced,
                finished_at_s=finished_at_s,
            )
            changes = [*self._appended(segments), end]
        else:
            record = replace(self._record, status=status, produced=produced, finished_at_s=finished_at_s)
            changes = [BeginResponse(record=record, segments=tuple(segments))]
        try:
            if thread is None:
                await self._commit(changes)
            else:
                await self._write(_shielded(thread.commit(changes, produced, finished_at_s)))
        except CallboardError:
            self._waiting, self._full, self._version = before  # another end may come of it
            raise
        self.ended = True

    def let_go(self, adrift: Adrift) -> None:
        """Say so where the response is left as it stands, for somebody to take it up."""
        if self.ended:
            adrift.forget((self._record.id,))
        elif self.stored:
            adrift.let_go(self._record.id)

    async def _wait_for_others(self) -> None:
        """Return when nobody writes, in the very step in which the caller may begin to.

        A lock would do, but costs as much again as the asking: it looks up the running task three times.
        """
        await checkpoint_if_cancelled()  # writing is no place where a cancellation shows
        while self._writing:
            if self._written is None:
                self._written = anyio.Event()
            await self._written.wait()

    async def _commit(self, changes: list[Change]) -> None:
        await self._write(self._archivist.ask_shielded(Commit(changes=tuple(changes))))

    async def _write(self, commit: Awaitable[None]) -> None:
        self.stored = self._writing = True
        try:
            # Whoever leaves meanwhile waits too: what comes next has to know whether this is in the log.
            await commit
        except CallboardError:
            self._full[:0] = self._under_way
            raise
        finally:
            self._under_way = []
            self._writing = False
            if self._written is not None:
                self._written.set()
                self._written = None

    def _next(self) -> list[Change]:
        segments = self._segments()
        besides, self._besides = self._besides, ()
        if not self.stored:
            return [*besides, BeginResponse(record=self._record, segments=tuple(segments))]
        return [*besides, *self._appended(segments)]

    def _appended(self, segments: Sequence[Segment]) -> list[Change]:
        changes: list[Change] = []
        for segment in segments:
            running: Status | None = "in_progress" if self._status == "queued" else None
            self._status = "in_progress"
            changes.append(
                AppendEvents(
                    response_id=self._record.id,
                    expected_version=segment.first,
                    segment=segment,
                    status=running,
                )
            )
        return changes

    def _segments(self) -> list[Segment]:
        """All that waits; it is under way until it is written."""
        if self._waiting:
            self._cut()
        self._under_way, self._full = self._full, []
        return list(self._under_way)

    def _cut(self) -> None:
        """Make a segment of what has waited longest."""
        events = self._waiting[:LONGEST_SEGMENT]
        del self._waiting[:LONGEST_SEGMENT]
        self._full.append(Segment(first=self._version, count=len(events), payload=encode_events(events)))
        self._version += len(events)


async def _shielded(commit: Awaitable[None]) -> None:
    with anyio.CancelScope(shield=True):
        await commit


def _begins_a_call(event: LogEvent) -> bool:
    return isinstance(event, BlockStarted) and isinstance(event.block, ToolUseBlock)
