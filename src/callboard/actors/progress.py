"""Where a turn stands, read from its log: the same pure steps, performed by what was logged of them.

A turn that was interrupted goes on from its last boundary. A generation that had not ended is made again:
nobody knows the rest of it. A tool that had been started and has no result may have been run; whether it
may be run once more is for the tools to say (`callboard.actors.tool_runner.RunTool`).
"""

from __future__ import annotations

from collections.abc import Iterable

from callboard.actors import turn
from callboard.domain.block import Block, ToolResultBlock
from callboard.domain.delta import BlockStopped, GenerationStarted, GenerationStopped
from callboard.domain.fold import Fold
from callboard.domain.generation import Generation
from callboard.domain.turn import ApprovalAsked, ToolFinished, ToolsListed, ToolStarted
from callboard.domain.turn_log import LogEvent, RoundEnded, TurnBroken, TurnInterrupted


class Progress:
    """Feed it the log of a turn; it says what is to be done next.

    Attributes:
        step: What the turn does next.
        started: Ids of those calls of ``step`` that have been started, whether they came to an end or not.
        results: Of those that came to one, by the call's id.
        asked: Ids of calls that it was asked to approve.
        shown: Blocks that the client has been shown.
        begun: Whether it was told that the answer begins.
        ended: Whether the log has its last event.
    """

    def __init__(self, first: turn.Generate | turn.RunTools) -> None:
        self.step: turn.Step = first
        self.started: set[str] = set()
        self.results: dict[str, ToolResultBlock] = {}
        self.asked: set[str] = set()
        self.begun = False
        self.ended = False
        self._fold = Fold()
        self._mark = 0

    @property
    def shown(self) -> int:
        """See the class."""
        return len(self._fold.content)

    @property
    def within_a_generation(self) -> bool:
        """Whether something was shown of a generation that has not ended."""
        return self._fold.within_a_block or len(self._fold.content) > self._mark

    def feed(self, events: Iterable[LogEvent]) -> None:
        """Take in what comes next in the log."""
        for event in events:
            self._take(event)

    def _take(self, event: LogEvent) -> None:
        match event:
            case RoundEnded():
                self._end_round(event)
            case ToolStarted():
                self.started.add(event.call.id)
            case ToolFinished():
                self.results[event.result.tool_use_id] = event.result
                self._end_tools()
            case ApprovalAsked():
                self.asked.add(event.call.id)
            case ToolsListed():
                pass
            case TurnInterrupted():
                if self._fold.within_a_block:
                    self._fold.apply(BlockStopped(index=len(self._fold.content)))
                self._mark = len(self._fold.content)
            case TurnBroken():
                self.ended = True
            case _:
                self.begun = self.begun or isinstance(event, GenerationStarted)
                self.ended = isinstance(event, GenerationStopped)
                self._fold.apply(event)

    def _end_round(self, event: RoundEnded) -> None:
        content: list[Block] = self._fold.content[self._mark :]
        self._mark = len(self._fold.content)
        for each in event.hidden:
            content.insert(each.place, each.call)
        self.started.clear()
        self.results.clear()
        self.step = turn.after_generation(
            self.step.state,
            Generation(
                id="", model="", content=tuple(content), stop_reason=event.stop_reason, usage=event.usage
            ),
        )

    def _end_tools(self) -> None:
        step = self.step
        if isinstance(step, turn.RunTools) and all(call.id in self.results for call in step.calls):
            self.step = turn.after_tools(step, tuple(self.results[call.id] for call in step.calls))
