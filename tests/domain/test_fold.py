"""A stream folds into the generation it tells of, and only in order."""

import pytest
from hypothesis import given
from msgspec import Raw

from callboard.domain.arguments import EMPTY_INPUT
from callboard.domain.block import TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.fold import LOGPROBS, Fold, events_of, fold
from callboard.domain.generation import Generation
from callboard.errors import RemoteWireError, StreamIncomplete
from tests.domain.conversations import generations

BEGIN = GenerationStarted(id="g", model="m")
TEXT = BlockStarted(index=0, block=TextBlock(text=""))
CALL = BlockStarted(index=0, block=ToolUseBlock(id="c", name="f", input=EMPTY_INPUT))
END = GenerationStopped(stop_reason="end_turn")


@given(generations)
def test_taking_apart_and_folding_is_the_identity(generation: Generation) -> None:
    assert fold(events_of(generation)) == generation


def test_deltas_are_joined_in_each_kind_of_block() -> None:
    answer = fold(
        [
            BEGIN,
            BlockStarted(index=0, block=ThinkingBlock(thinking="")),
            ThinkingDelta(index=0, thinking="a"),
            ThinkingDelta(index=0, thinking="b"),
            SignatureDelta(index=0, signature="s"),
            BlockStopped(index=0),
            BlockStarted(index=1, block=TextBlock(text="")),
            TextDelta(index=1, text="c", logprobs=Raw(b'[{"token":"c"}]')),
            TextDelta(index=1, text="d", logprobs=Raw(b'[{"token":"d"}]')),
            BlockStopped(index=1),
            BlockStarted(index=2, block=ToolUseBlock(id="c", name="f", input=EMPTY_INPUT)),
            ArgumentsDelta(index=2, partial_json='{"x":'),
            ArgumentsDelta(index=2, partial_json="1}"),
            BlockStopped(index=2),
            END,
        ]
    )
    assert answer.content == (
        ThinkingBlock(thinking="ab", signature="s"),
        TextBlock(text="cd", extra={LOGPROBS: Raw(b'[{"token":"c"},{"token":"d"}]')}),
        ToolUseBlock(id="c", name="f", input=Raw(b'{"x":1}')),
    )


def test_arguments_that_were_cut_are_kept_but_are_no_input() -> None:
    cut: list[GenerationEvent] = [
        BEGIN,
        CALL,
        ArgumentsDelta(index=0, partial_json='{"x":'),
        BlockStopped(index=0),
        END,
    ]
    (call,) = fold(cut).content
    assert isinstance(call, ToolUseBlock)
    assert call.input == EMPTY_INPUT
    assert call.extra == {"invalid_arguments": Raw(b'"{\\"x\\":"')}


def test_a_stream_without_its_end_is_incomplete_but_its_whole_blocks_can_be_read() -> None:
    folding = Fold()
    for event in (BEGIN, TEXT, TextDelta(index=0, text="a"), BlockStopped(index=0)):
        folding.apply(event)
    assert folding.content == [TextBlock(text="a")]
    with pytest.raises(StreamIncomplete):
        folding.result()


@pytest.mark.parametrize(
    "events",
    [
        [TEXT],
        [END],
        [BEGIN, BEGIN],
        [BEGIN, TextDelta(index=0, text="a")],
        [BEGIN, TEXT, TextDelta(index=1, text="a")],
        [BEGIN, TEXT, ThinkingDelta(index=0, thinking="a")],
        [BEGIN, TEXT, ArgumentsDelta(index=0, partial_json="{")],
        [BEGIN, TEXT, SignatureDelta(index=0, signature="a")],
        [BEGIN, TEXT, TEXT],
        [BEGIN, TEXT, END],
        [BEGIN, BlockStopped(index=0)],
        [BEGIN, TEXT, BlockStopped(index=1)],
        [BEGIN, BlockStarted(index=1, block=TextBlock(text=""))],
        [BEGIN, END, END],
        [BEGIN, END, TEXT],
    ],
)
def test_events_out_of_order_are_refused(events: list[GenerationEvent]) -> None:
    folding = Fold()
    for event in events[:-1]:
        folding.apply(event)
    with pytest.raises(RemoteWireError):
        folding.apply(events[-1])
