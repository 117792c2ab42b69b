"""Turns as events: every rule of the dialect kept, and the whole answer the same as the streamed one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.approval import Approval, marked
from callboard.domain.arguments import EMPTY_INPUT, tool_use
from callboard.domain.block import (
    Block,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationStarted,
    GenerationStopped,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.fold import LOGPROBS, events_of
from callboard.domain.generation import Generation, StopReason
from callboard.domain.tools import ToolDefinition, ToolHome
from callboard.domain.turn import ApprovalAsked, ToolFinished, ToolsListed, ToolStarted, TurnEvent
from callboard.domain.turn_log import TurnBroken
from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamRateLimited
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.schema import Echo, FunctionTool
from callboard.wire.openai_responses.stream import ResponseEncoder
from tests.oracles.responses_lifecycle import Data, events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

USAGE = Usage(input_tokens=3, output_tokens=4, cache_read_tokens=5, cache_write_tokens=6, reasoning_tokens=2)
CALL = tool_use("c1", "f", '{"x": 1}')
RUN: tuple[TurnEvent, ...] = (
    ToolStarted(call=tool_use("own", "add", "{}")),
    ToolFinished(name="add", result=ToolResultBlock(tool_use_id="own")),
)
HOME = ToolHome(server="desk", tool="note")
SHOWN: tuple[TurnEvent, ...] = (
    ToolsListed(server="desk", tools=(ToolDefinition(name="desk__note", home=HOME),)),
    ToolStarted(call=tool_use("own", "note", '{"a": 1}'), home=HOME),
    ToolStarted(call=tool_use("more", "note", ""), home=HOME),
    ToolFinished(name="note", result=ToolResultBlock(tool_use_id="more", is_error=True)),
    ToolFinished(name="note", result=ToolResultBlock(tool_use_id="own", content=(TextBlock(text="ok"),))),
)


def waiting(place: int) -> ToolUseBlock:
    return marked(CALL, Approval(id=f"mcpr_1_a{place}", server="desk", tool="f"))


def encoder() -> ResponseEncoder:
    return ResponseEncoder(id="resp_1", created_at=7, echo=Echo(model="m", tools=(FunctionTool(name="f"),)))


def generation(*content: Block, stop: StopReason = "end_turn") -> Generation:
    return Generation(id="up", model="up-m", content=content, stop_reason=stop, usage=USAGE)


def streamed(*events: TurnEvent) -> list[Data]:
    """The data of the events that tell of a turn, all checked."""
    encoding = encoder()
    stream = b"".join([encoding.feed(event) for event in events]) + encoding.finish(9)
    return checked(stream, encoding.response)


def checked(stream: bytes, response: bytes) -> list[Data]:
    events = events_in(stream)
    assert violations(events) == []
    assert events[-1].data is None
    data = [event.data for event in events if event.data is not None]
    for each in data:
        check_event(each)
    assert data[-1]["response"] == json.loads(response)
    check_response(data[-1]["response"])
    return data


def turn(*content: Block, stop: StopReason = "end_turn") -> list[Data]:
    return streamed(*events_of(generation(*content, stop=stop)))


def types(data: list[Data]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in data]


def test_text_byte_for_byte() -> None:
    encoding = encoder()
    assert encoding.feed(GenerationStarted(id="up", model="up-m")).count(b'"status":"in_progress"') == 2
    assert encoding.feed(BlockStarted(index=0, block=TextBlock(text=""))) == (
        b"event: response.output_item.added\n"
        b'data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,'
        b'"item":{"type":"message","id":"msg_1_0","status":"in_progress","content":[],"role":"assistant"}}\n\n'
        b"event: response.content_part.added\n"
        b'data: {"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}\n\n'
    )
    assert encoding.feed(TextDelta(index=0, text='a"\n')) == (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"delta":"a\\"\\n","logprobs":[]}\n\n'
    )
    assert encoding.feed(BlockStopped(index=0)) == (
        b"event: response.output_text.done\n"
        b'data: {"type":"response.output_text.done","sequence_number":5,"item_id":"msg_1_0","output_index":0,'
        b'"content_index":0,"text":"a\\"\\n","logprobs":[]}\n\n'
        b"event: response.content_part.done\n"
        b'data: {"type":"response.content_part.done","sequence_number":6,"item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"part":{"type":"output_text","text":"a\\"\\n","annotations":[],"logprobs":[]}}\n\n'
    )
    assert encoding.feed(GenerationStopped(stop_reason="end_turn", usage=USAGE)) == b""
    item = (
        b'{"type":"message","id":"msg_1_0","status":"completed","content":'
        b'[{"type":"output_text","text":"a\\"\\n","annotations":[],"logprobs":[]}],"role":"assistant"}'
    )
    end = encoding.finish(9)
    assert end.startswith(
        b"event: response.output_item.done\n"
        b'data: {"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":%b}\n\n'
        b"event: response.completed\n"
        b'data: {"type":"response.completed","sequence_number":8,"response":{"id":"resp_1",'
        b'"object":"response","created_at":7,"status":"completed","completed_at":9,"error":null,"incomplete_details":null,'
        b'"output":[%b],"usage":{"input_tokens":14,"output_tokens":4,"total_tokens":18,"input_tokens_details":'
        b'{"cached_tokens":5,"cache_write_tokens":6},"output_tokens_details":{"reasoning_tokens":2}},'
        b'"model":"m",' % (item, item)
    )
    assert end.endswith(b"}}\n\ndata: [DONE]\n\n")


CONTENT = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]


@pytest.mark.parametrize(
    "block, between, item",
    [
        (
            TextBlock(text="hi"),
            CONTENT,
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
            },
        ),
        (
            TextBlock(text="no", extra={REFUSAL: TRUE}),
            [name.replace("output_text", "refusal") for name in CONTENT],
            {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]},
        ),
        (
            ThinkingBlock(thinking="hm", signature="sig"),
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "sig",
            },
        ),
        (RedactedThinkingBlock(data="x"), [], {"type": "reasoning", "summary": [], "encrypted_content": "x"}),
        (
            CALL,
            ["function_call_arguments.delta", "function_call_arguments.done"],
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'},
        ),
    ],
)
def test_each_block_has_its_item_and_its_events(block: Block, between: list[str], item: Data) -> None:
    data = turn(block)
    assert types(data) == [
        "created",
        "in_progress",
        "output_item.added",
        *between,
        "output_item.done",
        "completed",
    ]
    shown = data[-1]["response"]["output"]
    assert len(shown) == 1
    assert item.items() <= shown[0].items()
    assert shown[0]["status"] == "completed"


def test_what_the_dialect_has_no_words_for_is_left_out() -> None:
    data = turn(OpaqueBlock(type="x", raw=Raw(b'{"type":"x"}')), TextBlock(text="hi"))
    assert [item["type"] for item in data[-1]["response"]["output"]] == ["message"]


def test_a_request_for_approval_is_whole_when_it_is_added_and_ends_the_item_before_it() -> None:
    text = list(events_of(generation(TextBlock(text="hm"))))
    data = streamed(*text[:-1], ApprovalAsked(call=waiting(0)), text[-1])
    assert [each["type"] for each in data][-4:] == [
        "response.output_item.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ]
    asked = {
        "type": "mcp_approval_request",
        "id": "mcpr_1_a0",
        "server_label": "desk",
        "name": "f",
        "arguments": '{"x": 1}',
    }
    assert data[-3]["item"] == data[-2]["item"] == data[-1]["response"]["output"][1] == asked
    assert data[-3]["output_index"] == 1


def test_calls_that_run_side_by_side_end_in_any_order_and_keep_their_places() -> None:
    text = list(events_of(generation(TextBlock(text="hm"))))
    data = streamed(text[0], *SHOWN, *text[1:])
    output = data[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
    assert [item.get("status") for item in output] == [None, "completed", "failed", "completed"]
    assert [item["id"] for item in output] == ["mcpl_1_t0", "mcp_1_t1", "mcp_1_t2", "msg_1_0"]
    done = [each["output_index"] for each in data if each["type"] == "response.output_item.done"]
    assert done == [0, 2, 1, 3]


def test_a_call_whose_process_is_lost_has_failed() -> None:
    text = list(events_of(generation(TextBlock(text="hm"))))
    encoding = encoder()
    told = b"".join([encoding.feed(event) for event in (text[0], *SHOWN[:2], TurnBroken(why="lost"))])
    call = checked(told, encoding.response)[-1]["response"]["output"][1]
    assert (call["status"], call["output"]) == ("failed", None)


def test_items_are_numbered_over_all_rounds_and_end_before_a_tool_runs() -> None:
    events = list(events_of(generation(TextBlock(text="one"), TextBlock(text="two"))))
    stop = events.index(BlockStopped(index=0)) + 1
    encoding = encoder()
    before = b"".join([encoding.feed(event) for event in events[:stop]])
    assert b"output_item.done" not in before
    ran = b"".join([encoding.feed(event) for event in RUN])
    assert ran.count(b"event: ") == 1
    assert b"event: response.output_item.done" in ran
    rest = b"".join([encoding.feed(event) for event in events[stop:]])
    data = checked(before + ran + rest + encoding.finish(9), encoding.response)
    assert [item["id"] for item in data[-1]["response"]["output"]] == ["msg_1_0", "msg_1_1"]


@pytest.mark.parametrize("stop", ["end_turn", "tool_use", "stop_sequence", "pause_turn"])
def test_a_turn_that_comes_to_its_end_is_completed(stop: StopReason) -> None:
    last = turn(TextBlock(text="hi"), stop=stop)[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["completed_at"] == 9


@pytest.mark.parametrize("stop, reason", [("max_tokens", "max_output_tokens"), ("refusal", "content_filter")])
def test_a_turn_that_was_cut_short_is_incomplete_and_so_is_its_last_item(
    stop: StopReason, reason: str
) -> None:
    last = turn(TextBlock(text="one"), TextBlock(text="tw"), stop=stop)[-1]
    assert last["type"] == "response.incomplete"
    response = last["response"]
    assert response["incomplete_details"] == {"reason": reason}
    assert response["completed_at"] is None
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_a_refusal_in_words_is_an_answer() -> None:
    last = turn(TextBlock(text="no", extra={REFUSAL: TRUE}), stop="refusal")[-1]
    assert last["type"] == "response.completed"


@pytest.mark.parametrize(
    "pieces, arguments",
    [
        ([], "{}"),
        (["", "{}"], "{}"),
        (["  ", ' {"a":', " 1} "], '{"a": 1} '),
        (["{oops"], "{oops"),
        ([" "], "{}"),
    ],
)
def test_arguments_are_told_once_and_never_empty(pieces: list[str], arguments: str) -> None:
    data = streamed(
        GenerationStarted(id="up", model="m"),
        BlockStarted(index=0, block=ToolUseBlock(id="c1", name="f", input=EMPTY_INPUT)),
        *(ArgumentsDelta(index=0, partial_json=piece) for piece in pieces),
        BlockStopped(index=0),
        GenerationStopped(stop_reason="tool_use", usage=USAGE),
    )
    assert data[-1]["response"]["output"][0]["arguments"] == arguments
    assert all(each["delta"] for each in data if each["type"].endswith(".delta"))


def test_log_probabilities_go_along_on_one_line() -> None:
    tokens = [{"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}]
    data = turn(TextBlock(text="hi", extra={LOGPROBS: Raw(json.dumps(tokens, indent=1).encode())}))
    told = [each["logprobs"] for each in data if "logprobs" in each]
    assert told == [tokens, tokens]
    assert data[-1]["response"]["output"][0]["content"][0]["logprobs"] == tokens


def test_a_turn_that_breaks_off_fails_with_what_was_complete() -> None:
    encoding = encoder()
    events = list(events_of(generation(TextBlock(text="one"), TextBlock(text="two"))))
    begun = b"".join([encoding.feed(event) for event in events[:-2]])
    end = encoding.fail(UpstreamRateLimited("slow down"))
    data = checked(begun + end, encoding.response)
    response = data[-1]["response"]
    assert data[-1]["type"] == "response.failed"
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert [item["id"] for item in response["output"]] == ["msg_1_0"]


def test_an_item_that_had_ended_is_done_before_the_turn_fails() -> None:
    encoding = encoder()
    events = list(events_of(generation(TextBlock(text="one"))))
    begun = b"".join([encoding.feed(event) for event in events[:-1]])
    data = checked(begun + encoding.fail(RuntimeError("secret")), encoding.response)
    assert types(data)[-2:] == ["output_item.done", "failed"]
    assert data[-1]["response"]["error"]["code"] == "server_error"
    assert "secret" not in encoding.response.decode()


def test_an_end_is_told_once() -> None:
    encoding = encoder()
    for event in events_of(generation(TextBlock(text="one"))):
        encoding.feed(event)
    encoding.finish(9)
    response = encoding.response
    assert encoding.fail(RuntimeError("late")) == b""
    assert encoding.response == response


def test_a_turn_that_has_not_ended_cannot_be_finished() -> None:
    encoding = encoder()
    encoding.feed(GenerationStarted(id="up", model="m"))
    with pytest.raises(StreamIncomplete):
        encoding.finish(9)


def test_events_out_of_order_are_refused() -> None:
    with pytest.raises(RemoteWireError):
        encoder().feed(TextDelta(index=0, text="hi"))


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[TurnEvent]:
    """A turn of any blocks in any pieces, with tools of ours between some."""
    events: list[TurnEvent] = [GenerationStarted(id="up", model="m")]
    for index in range(draw(st.integers(0, 4))):
        pieces = draw(texts)
        blocks: list[tuple[Block, Any]] = [
            (TextBlock(text=""), lambda text, at=index: TextDelta(index=at, text=text)),
            (
                TextBlock(text="", extra={REFUSAL: TRUE}),
                lambda text, at=index: TextDelta(index=at, text=text),
            ),
            (ThinkingBlock(thinking=""), lambda text, at=index: ThinkingDelta(index=at, thinking=text)),
            (
                ToolUseBlock(id=f"c{index}", name="f", input=EMPTY_INPUT),
                lambda text, at=index: ArgumentsDelta(index=at, partial_json=text),
            ),
            (RedactedThinkingBlock(data="x"), None),
            (OpaqueBlock(type="x", raw=Raw(b"{}")), None),
        ]
        block, delta = draw(st.sampled_from(blocks))
        events.append(BlockStarted(index=index, block=block))
        events += [delta(piece) for piece in pieces if delta is not None]
        events.append(BlockStopped(index=index))
        events += draw(st.sampled_from([(), RUN, SHOWN]))
    stops: list[StopReason] = ["end_turn", "tool_use", "max_tokens", "refusal"]
    stop = draw(st.sampled_from(stops))
    if stop == "tool_use":
        events += [ApprovalAsked(call=waiting(place)) for place in range(draw(st.integers(0, 2)))]
    return [*events, GenerationStopped(stop_reason=stop, usage=USAGE)]


@given(turns())
def test_any_turn_keeps_all_rules(events: list[TurnEvent]) -> None:
    streamed(*events)


@given(turns(), st.integers(1, 30))
def test_a_turn_that_breaks_off_anywhere_keeps_all_rules(events: list[TurnEvent], at: int) -> None:
    encoding = encoder()
    begun = b"".join([encoding.feed(event) for event in events[:-1][:at]])
    checked(begun + encoding.fail(StreamIncomplete("cut")), encoding.response)


@pytest.mark.parametrize("block", [ThinkingBlock, RedactedThinkingBlock])
def test_reasoning_keeps_the_id_that_its_encrypted_form_may_be_bound_to(block: type[Block]) -> None:
    extra = {"id": Raw(b'"rs_up"')}
    thought = (
        ThinkingBlock(thinking="hm", signature="sig", extra=extra)
        if block is ThinkingBlock
        else RedactedThinkingBlock(data="x", extra=extra)
    )
    data = turn(thought, TextBlock(text="hi"))
    assert [item["id"] for item in data[-1]["response"]["output"]] == ["rs_up", "msg_1_1"]
