"""A turn's events as the whole answer to it."""

from __future__ import annotations

from msgspec import Raw

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import BlockStarted, BlockStopped, GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.reply_fold import ReplyFold
from callboard.domain.turn import ToolFinished, ToolRun, ToolsListed, ToolStarted
from callboard.domain.usage import Usage


def test_two_calls_of_one_id_each_have_a_result() -> None:
    first, second = (ToolUseBlock(id="c", name=name, input=Raw(b"{}")) for name in ("f", "g"))
    results = [ToolResultBlock(tool_use_id="c", content=(TextBlock(text=text),)) for text in ("1", "2")]
    fold = ReplyFold()
    for event in (
        GenerationStarted(id="resp_1", model="m"),
        ToolsListed(server="s", tools=()),
        ToolStarted(call=first),
        ToolStarted(call=second),
        ToolFinished(name="f", result=results[0]),
        ToolFinished(name="g", result=results[1]),
        BlockStarted(index=0, block=TextBlock(text="")),
        TextDelta(index=0, text="Done."),
        BlockStopped(index=0),
        GenerationStopped(stop_reason="end_turn", usage=Usage(input_tokens=2, output_tokens=1)),
    ):
        fold.apply(event)
    reply = fold.reply()
    assert (reply.response_id, reply.text, reply.usage.total_tokens) == ("resp_1", "Done.", 3)
    assert reply.tool_runs == (
        ToolRun(call=first, result=results[0]),
        ToolRun(call=second, result=results[1]),
    )
