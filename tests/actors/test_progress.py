"""Where a turn stands, from its log."""

from __future__ import annotations

from msgspec import Raw

from callboard.actors import turn
from callboard.actors.progress import Progress
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import BlockStarted, BlockStopped, GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import user_text
from callboard.domain.turn import ToolFinished, ToolStarted
from callboard.domain.turn_log import HiddenCall, LogEvent, RoundEnded, TurnBroken, TurnInterrupted
from callboard.domain.usage import Usage


def call(name: str) -> ToolUseBlock:
    return ToolUseBlock(id=name, name="add", input=Raw(b"{}"))


def result(name: str) -> ToolFinished:
    return ToolFinished(name="add", result=ToolResultBlock(tool_use_id=name, content=(TextBlock(text=name),)))


BEGIN: LogEvent = GenerationStarted(id="resp_1", model="m")
SAID: tuple[LogEvent, ...] = (
    BlockStarted(index=0, block=TextBlock(text="")),
    TextDelta(index=0, text="Let me see."),
    BlockStopped(index=0),
)
ROUND = RoundEnded(
    stop_reason="tool_use",
    usage=Usage(output_tokens=5),
    hidden=(HiddenCall(place=1, call=call("a")), HiddenCall(place=2, call=call("b"))),
)
STARTED = (ToolStarted(call=call("a")), ToolStarted(call=call("b")))


def progress(*events: LogEvent) -> Progress:
    request = GenerationRequest(model="m", messages=(user_text("go"),))
    standing = Progress(turn.begin(request, turn.TurnPolicy(own_tools=frozenset({"add"}))))
    standing.feed(events)
    return standing


def test_a_turn_that_has_not_begun_begins() -> None:
    standing = progress()
    assert isinstance(standing.step, turn.Generate)
    assert (standing.begun, standing.ended, standing.within_a_generation, standing.shown) == (
        False,
        False,
        False,
        0,
    )


def test_a_generation_that_had_not_ended_is_made_again() -> None:
    standing = progress(BEGIN, *SAID[:2])
    assert standing.within_a_generation
    standing.feed([TurnInterrupted()])
    assert isinstance(standing.step, turn.Generate)
    assert standing.step.state.produced == ()
    assert (standing.begun, standing.within_a_generation, standing.shown) == (True, False, 1)


def test_what_was_interrupted_is_no_part_of_what_the_model_said_later() -> None:
    later = (
        BlockStarted(index=1, block=TextBlock(text="Again.")),
        BlockStopped(index=1),
        RoundEnded(stop_reason="end_turn", usage=Usage(output_tokens=1)),
    )
    standing = progress(BEGIN, *SAID[:2], TurnInterrupted(), *later)
    assert isinstance(standing.step, turn.Finish)
    assert [message.content for message in standing.step.state.produced] == [(TextBlock(text="Again."),)]


def test_a_round_that_has_ended_stands_with_its_hidden_calls_in_their_places() -> None:
    standing = progress(BEGIN, *SAID, ROUND)
    assert isinstance(standing.step, turn.RunTools)
    assert standing.step.calls == (call("a"), call("b"))
    (said,) = standing.step.state.produced
    assert said.content == (TextBlock(text="Let me see."), call("a"), call("b"))
    assert standing.step.state.usage == Usage(output_tokens=5)
    assert (standing.started, standing.results) == (set(), {})


def test_calls_that_were_begun_and_those_that_came_to_an_end_are_told_apart() -> None:
    standing = progress(BEGIN, *SAID, ROUND, *STARTED, result("b"))
    assert isinstance(standing.step, turn.RunTools)
    assert standing.started == {"a", "b"}
    assert set(standing.results) == {"b"}


def test_with_its_last_result_the_turn_goes_on_in_the_order_of_the_calls() -> None:
    standing = progress(BEGIN, *SAID, ROUND, *STARTED, result("b"), result("a"))
    assert isinstance(standing.step, turn.Generate)
    results = standing.step.state.produced[-1].content
    assert [block.tool_use_id for block in results if isinstance(block, ToolResultBlock)] == ["a", "b"]


def test_a_turn_that_has_ended_says_so() -> None:
    whole = (BEGIN, *SAID, RoundEnded(stop_reason="end_turn", usage=Usage()))
    assert not progress(*whole).ended
    assert progress(*whole, GenerationStopped(stop_reason="end_turn")).ended
    assert progress(TurnBroken(why="cancelled")).ended
