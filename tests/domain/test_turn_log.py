"""Logs of turns as values and as JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard import errors
from callboard.domain.block import OpaqueBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.tools import ToolDefinition, ToolHome
from callboard.domain.turn import ApprovalAsked, ToolFinished, ToolsListed, ToolStarted
from callboard.domain.turn_log import (
    HiddenCall,
    LogEvent,
    RoundEnded,
    TurnBroken,
    TurnInterrupted,
    broken,
    decode_events,
    encode_events,
    error_of,
)
from callboard.domain.usage import Usage
from callboard.errors import CallboardError, RateLimited, StoreUnavailable, UpstreamInvalid
from callboard.wire.openai_chat.error import error_fields

CALL = ToolUseBlock(id="c1", name="add", input=Raw(b'{"a":1}'), extra={"index": Raw(b"3")})
EVENTS: tuple[LogEvent, ...] = (
    GenerationStarted(id="resp_1", model="m", extra={"x": Raw(b"[1]")}),
    BlockStarted(index=0, block=ThinkingBlock(thinking="")),
    ThinkingDelta(index=0, thinking="hm\u2028"),
    SignatureDelta(index=0, signature="s"),
    BlockStopped(index=0),
    BlockStarted(index=1, block=OpaqueBlock(type="new", raw=Raw(b'{"type":"new","n":1}'))),
    BlockStarted(index=1, block=TextBlock(text="", extra={"refusal": Raw(b"true")})),
    TextDelta(index=1, text="no 😀", logprobs=Raw(b"[]")),
    ArgumentsDelta(index=1, partial_json='{"a'),
    RoundEnded(stop_reason="tool_use", usage=Usage(input_tokens=3), hidden=(HiddenCall(place=1, call=CALL),)),
    ToolStarted(call=CALL),
    ToolStarted(call=CALL, home=ToolHome(server="s", tool="t", asks=True)),
    ToolsListed(server="s", tools=(ToolDefinition(name="s__t", home=ToolHome(server="s", tool="t")),)),
    ApprovalAsked(call=CALL),
    ToolFinished(
        name="add",
        result=ToolResultBlock(tool_use_id="c1", content=(TextBlock(text="2"),), is_error=True),
    ),
    TurnInterrupted(),
    GenerationStopped(stop_reason="end_turn", usage=Usage(output_tokens=2)),
    TurnBroken(why="failed", error_type="rate_limit_exceeded", message="slow", code="x"),
)


def test_a_log_comes_back_from_json_as_it_was() -> None:
    assert decode_events(encode_events(EVENTS)) == list(EVENTS)
    assert decode_events(encode_events(())) == []


@given(st.lists(st.sampled_from(EVENTS)))
def test_any_part_of_a_log_comes_back_as_it_was(events: list[LogEvent]) -> None:
    assert decode_events(encode_events(events)) == events


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[{}]", b'[{"type":"ToolStarted","call":{"type":"text","text":""}}]']
)
def test_what_is_no_log_is_refused(data: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        decode_events(data)


def refusals(kind: type[errors.Refusal]) -> list[type[errors.Refusal]]:
    below = [each for child in kind.__subclasses__() for each in refusals(child)]
    return [kind, *below]


@pytest.mark.parametrize("kind", refusals(errors.Refusal), ids=lambda kind: kind.__name__)
def test_clients_are_told_the_same_of_an_error_that_was_logged(kind: type[errors.Refusal]) -> None:
    error = kind("what went wrong")
    (logged,) = decode_events(encode_events([broken(error)]))
    assert isinstance(logged, TurnBroken)
    again = error_of(logged)
    told, told_again = error_fields(error), error_fields(again)
    assert (told.type, told.code, told.message) == (told_again.type, told_again.code, told_again.message)


def test_a_providers_own_word_is_kept() -> None:
    again = error_of(broken(UpstreamInvalid("bad", upstream_code="string_too_long")))
    assert isinstance(again, UpstreamInvalid)
    assert again.upstream_code == "string_too_long"


def test_of_a_bug_nothing_is_logged_but_that_there_was_one() -> None:
    logged = broken(RuntimeError("secret"))
    assert "secret" not in str(logged)
    assert type(error_of(logged)) is CallboardError
    assert not isinstance(error_of(logged), RateLimited)
