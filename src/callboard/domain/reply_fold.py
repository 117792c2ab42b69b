"""The events of a turn become the whole answer to it."""

from __future__ import annotations

from callboard.domain.block import ToolUseBlock
from callboard.domain.fold import Fold
from callboard.domain.turn import (
    ApprovalAsked,
    Reply,
    ToolFinished,
    ToolRun,
    ToolsListed,
    ToolStarted,
    TurnEvent,
)
from callboard.domain.usage import Usage


class ReplyFold:
    """Feed it every event of a turn, then take the `reply`."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._started: list[ToolUseBlock] = []  # two of them may have one id
        self._runs: list[ToolRun] = []

    def apply(self, event: TurnEvent) -> None:
        """Take in the next event.

        Raises:
            RemoteWireError: It cannot come at this point.
        """
        match event:
            case ToolStarted():
                self._started.append(event.call)
            case ToolFinished():
                call = next(call for call in self._started if call.id == event.result.tool_use_id)
                self._started.remove(call)
                self._runs.append(ToolRun(call=call, result=event.result))
            case ApprovalAsked() | ToolsListed():
                pass  # nobody here could approve anything, or has named a server
            case _:
                self._fold.apply(event)

    def reply(self) -> Reply:
        """The whole answer, once the turn is over."""
        generation = self._fold.result()
        return Reply(
            response_id=generation.id,
            model=generation.model,
            content=generation.content,
            stop_reason=generation.stop_reason,
            usage=generation.usage or Usage(),
            tool_runs=tuple(self._runs),
        )
