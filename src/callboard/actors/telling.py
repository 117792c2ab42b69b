"""Tells of a turn as it happens: first to its log, then to its reader.

What is kept of a turn has to be durable before anybody sees it, or anything follows from it: that it began,
what tools are to be run, what they came to, that a part of the answer is whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from callboard.actors.conversation import Thread
from callboard.actors.order import TurnOrder
from callboard.actors.recorder import Recorder
from callboard.domain.delta import BlockStarted, GenerationStarted
from callboard.domain.turn import ToolFinished, TurnEvent
from callboard.domain.turn_log import LogEvent


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
        self.reader: MemoryObjectSendStream[TurnEvent] | None = None
        self._streamed = order.keep is not None and order.keep.streamed
        self._recorder = recorder
        self._thread = thread

    async def tell(self, event: TurnEvent) -> None:
        """Log an event, and show it when what has to be durable before is."""
        if self._recorder is not None or self._thread is not None:
            self.log(event)
            recorder = self._recorder
            if recorder is not None and (self._is_boundary(event) or self._runs_ahead(recorder)):
                await recorder.settle()
        await self.show(event)

    async def announce(self, events: Sequence[TurnEvent]) -> None:
        """Tell of what is about to be done, before it is."""
        for event in events:
            self.log(event)
        if self._recorder is not None:
            await self._recorder.settle()
        for event in events:
            await self.show(event)

    def log(self, event: LogEvent) -> None:
        """Log what the reader is not shown, or not yet."""
        if self._recorder is not None:
            self._recorder.add(event)
        if self._thread is not None:
            self._thread.feed(event)

    async def show(self, event: TurnEvent) -> None:
        """Hand an event over; waits only while the reader is behind."""
        if self.reader is None:
            return
        try:
            self.reader.send_nowait(event)
        except anyio.WouldBlock:
            await self.reader.send(event)

    def _runs_ahead(self, recorder: Recorder) -> bool:
        """Whether a turn that nobody reads has outrun its log."""
        return self.reader is None and recorder.is_behind

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
