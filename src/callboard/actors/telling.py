"""Tells of a turn as it happens: first to its log, then to its reader.

What is kept of a turn has to be durable before anybody sees it, or anything follows from it: that it began,
what tools are to be run, what they came to, that a part of the answer is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from callboard.actors.conversation import Thread
from callboard.actors.order import TurnOrder
from callboard.actors.recorder import Recorder
from callboard.domain.delta import BlockStarted, GenerationStarted
from callboard.domain.turn import ToolFinished, TurnEvent
from callboard.domain.turn_log import LogEvent

_BOUNDARIES = frozenset((ToolFinished, GenerationStarted, BlockStarted))
"""What `Telling` looks at more closely; nearly all events are deltas."""


class Reader(Protocol):
    """Who is shown a turn's events."""

    def send_some(self, events: Sequence[TurnEvent]) -> int:
        """Show as many of ``events`` as the reader is not behind for; returns how many."""

    async def send(self, event: TurnEvent) -> None:
        """Show ``event``, waiting while the reader is behind."""


class Taker:
    """A reader who is never behind: events go straight to ``take``."""

    def __init__(self, take: Callable[[TurnEvent], object]) -> None:
        self._take = take

    def send_some(self, events: Sequence[TurnEvent]) -> int:
        """See `Reader`."""
        for event in events:
            self._take(event)
        return len(events)

    async def send(self, event: TurnEvent) -> None:
        """See `Reader`."""
        self._take(event)


class Telling:
    """See the module's docstring. Used by one turn.

    Args:
        order: How the turn is kept.
        recorder: Writes its log, where it has one.
        thread: The conversation that it stands in, if any.

    Attributes:
        reader: Who is shown the events that are his; None where nobody reads.
    """

    def __init__(self, order: TurnOrder, recorder: Recorder | None, thread: Thread | None) -> None:
        self.reader: Reader | None = None
        self._streamed = order.keep is not None and order.keep.streamed
        self._recorder = recorder
        self._thread = thread

    async def tell(self, events: Sequence[TurnEvent]) -> None:
        """Log events, and show each when what has to be durable before is."""
        recorder = self._recorder
        if recorder is None and self._thread is None:
            await self.show(events)
            return
        logged = told = 0
        for place, event in enumerate(events):
            if type(event) in _BOUNDARIES and recorder is not None and self._is_boundary(event):
                self.log(events[logged : place + 1])
                logged = place + 1
                await self.show(events[told:place])
                told = place
                await recorder.settle()
        self.log(events[logged:])
        await self.show(events[told:])
        if recorder is not None and self.reader is None and recorder.is_behind:
            await recorder.settle()  # nobody reads the turn, and it has outrun its log

    async def announce(self, events: Sequence[TurnEvent]) -> None:
        """Tell of what is about to be done, before it is."""
        self.log(events)
        if self._recorder is not None:
            await self._recorder.settle()
        await self.show(events)

    def log(self, events: Sequence[LogEvent]) -> None:
        """Log what the reader is not shown, or not yet."""
        if self._recorder is not None:
            self._recorder.add(events)
        if self._thread is not None:
            for event in events:
                self._thread.feed(event)

    async def show(self, events: Sequence[TurnEvent]) -> None:
        """Hand events over; waits only while the reader is behind."""
        reader = self.reader
        if reader is None:
            return
        sent = reader.send_some(events)
        while sent < len(events):
            await reader.send(events[sent])
            sent += 1
            sent += reader.send_some(events[sent:])

    def _is_boundary(self, event: TurnEvent) -> bool:
        """Whether ``event`` must be durable before anything follows from it.

        The first block is shown to begin after the answer; each further one tells that the one before is
        whole.
        """
        if isinstance(event, ToolFinished):
            return True
        if self.reader is None or not self._streamed:
            return False
        return isinstance(event, GenerationStarted) or (isinstance(event, BlockStarted) and event.index > 0)
