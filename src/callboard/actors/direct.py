"""A turn without a model: a user runs a tool himself, and what it came to is the answer.

What is kept of it is what a model would have left: the call, its result, and the answer; so a later turn can
go on from it.
"""

from __future__ import annotations

from callboard.actors import turn
from callboard.actors.telling import Telling
from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.delta import GenerationStopped
from callboard.domain.fold import events_of
from callboard.domain.generation import Generation
from callboard.domain.turn_log import HiddenCall, RoundEnded
from callboard.domain.usage import Usage


def log_call(telling: Telling, call: ToolUseBlock) -> None:
    """Log that the user calls a tool."""
    hidden = (HiddenCall(place=0, call=call),)
    telling.log((RoundEnded(stop_reason="tool_use", usage=Usage(), hidden=hidden),))


async def tell_answer(telling: Telling, response_id: str, state: turn.TurnState) -> None:
    """Tell the answer, with which ``state`` ends."""
    content = tuple(each for each in state.produced[-1].content if isinstance(each, TextBlock))
    answer = Generation(
        id=response_id, model=state.request.model, content=content, stop_reason="end_turn", usage=Usage()
    )
    await telling.tell([event for event in events_of(answer) if not isinstance(event, GenerationStopped)])
    telling.log((RoundEnded(stop_reason="end_turn", usage=Usage()),))
