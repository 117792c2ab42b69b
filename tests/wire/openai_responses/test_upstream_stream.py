"""An upstream's events into ours: in order whatever it leaves out, and never complete unless it said so."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.arguments import tool_use
from callboard.domain.block import Block, RedactedThinkingBlock, TextBlock, ThinkingBlock
from callboard.domain.delta import (
    BlockStarted,
    BlockStopped,
    GenerationStarted,
    GenerationStopped,
    TextDelta,
)
from callboard.domain.fold import LOGPROBS, fold
from callboard.domain.fold import events_of as taken_apart
from callboard.domain.generation import Generation
from callboard.domain.usage import Usage
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from callboard.wire.openai_responses.upstream_stream import EventDecoder, decode_response
from callboard.wire.sse import SseDecoder
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import (
    INPUT_TOKENS,
    events_of,
    function_call,
    message,
    reasoning,
    refusal,
    response,
)
from tests.wire.openai_responses.upstream_events import OUTPUT, answer

RS_1 = {"id": Raw(b'"rs_1"')}
HELLO = TextBlock(text="hello")
BLOCKS: tuple[Block, ...] = (
    ThinkingBlock(thinking="why\n\nhow", signature="gAAAA", extra=RS_1),
    HELLO,
    tool_use("call_x", "f", '{"a": [1.50]}'),
    tool_use("d", "g", ""),
)


def without(events: list[Json], *names: str) -> list[Json]:
    return [event for event in events if not any(name in str(event["type"]) for name in names)]


def test_text_passes_at_once() -> None:
    decoder = EventDecoder()
    begun, *told = [json.dumps(event).encode() for event in events_of(message("hello"), pieces=3)]
    assert decoder.feed(begun) == ()
    made = [decoder.feed(data) for data in told]
    assert made == [
        (),  # in_progress
        (GenerationStarted(id="resp_fake", model="fake-1"),),
        (),  # content_part.added
        (BlockStarted(index=0, block=TextBlock(text="")), TextDelta(index=0, text="hel")),
        (TextDelta(index=0, text="lo"),),
        (BlockStopped(index=0),),
        (),  # content_part.done
        (),  # output_item.done
        (
            GenerationStopped(
                stop_reason="end_turn",
                usage=Usage(input_tokens=INPUT_TOKENS, output_tokens=3),
                extra={"service_tier": Raw(b'"default"')},
            ),
        ),
    ]
    assert decoder.feed(b"[DONE]") == ()
    assert decoder.end() == ()


def test_everything_at_once_is_put_in_order() -> None:
    whole = answer(*events_of(*OUTPUT))
    assert whole.content == BLOCKS
    assert whole.stop_reason == "tool_use"


def test_the_unstreamed_answer_is_the_fold_of_the_stream() -> None:
    document = json.dumps(response(*OUTPUT)).encode()
    assert decode_response(document) == answer(*events_of(*OUTPUT))


LEFT_OUT = [
    pytest.param(("delta",), id="no deltas"),
    pytest.param(("part",), id="no parts"),
    pytest.param(("text.done", "arguments.done"), id="no whole parts"),
    pytest.param(("output_item.done",), id="no whole items"),
    pytest.param(("item.added",), id="no beginnings"),
    pytest.param(("created", "in_progress"), id="no beginning"),
    pytest.param(("delta", "part", "text.done", "arguments.done"), id="items alone"),
    pytest.param(("delta", "output_item"), id="parts alone"),
    pytest.param(
        ("delta", "part", "text", "arguments", "item", "created", "in_progress"), id="the end alone"
    ),
]


@pytest.mark.parametrize("names", LEFT_OUT)
def test_what_is_told_again_may_be_left_out(names: tuple[str, ...]) -> None:
    assert answer(*without(events_of(*OUTPUT), *names)).content == BLOCKS


def test_a_paragraph_whose_forerunners_were_left_out_waits_for_the_item() -> None:
    thought = reasoning("why", "how", "so")
    expected = decode_response(json.dumps(response(thought)).encode()).content
    events = without(events_of(thought), "delta", "part")
    whole = [event for event in events if str(event["type"]).endswith("text.done")]
    begun, over = events[: events.index(whole[0])], events[events.index(whole[-1]) + 1 :]
    for heard in ([1], [2], [0, 2], [1, 2], [2, 0]):
        assert answer(*begun, *(whole[at] for at in heard), *over).content == expected, heard


def test_an_end_that_tells_nothing_again_is_an_end() -> None:
    events = events_of(*OUTPUT)
    events[-1] = {"type": "response.completed", "response": {"id": "resp_fake", "status": "completed"}}
    assert answer(*events).content == BLOCKS
    events[-1] = {"type": "response.completed"}
    whole = answer(*events)
    assert (whole.content, whole.usage, whole.id) == (BLOCKS, None, "resp_fake")


def test_gaps_and_repetitions_of_the_sequence_are_not_looked_at() -> None:
    events = [{**event, "sequence_number": 7} for event in events_of(*OUTPUT)]
    assert answer(*events).content == BLOCKS


@pytest.mark.parametrize(
    "stranger",
    [
        {"type": "response.later.delta", "delta": {"x": 1}, "output_index": 9},
        {"type": "response.output_text.annotation.added", "annotation": {}, "output_index": 0},
        {"type": "response.output_item.added", "output_index": 9, "item": {"type": "later", "content": 3}},
        {"type": "response.output_item.done", "output_index": 9, "item": {"type": "later", "summary": 3}},
        {"type": "keepalive"},
        {"type": "response.code_interpreter_call_code.delta", "delta": "x", "output_index": 9},
        {},
    ],
)
def test_what_we_do_not_know_is_skipped(stranger: Json) -> None:
    events = events_of(*OUTPUT)
    for at in range(len(events)):
        assert answer(*events[:at], stranger, *events[at:]).content == BLOCKS


def test_items_that_interleave_are_put_one_after_the_other() -> None:
    events = events_of(message("hello", 0), function_call("f", "{}"), message("again", 2))
    first = [event for event in events if event.get("output_index") == 0]
    second = [event for event in events if event.get("output_index") == 1]
    third = [event for event in events if event.get("output_index") == 2]
    mixed = [
        each
        for at in range(len(first) + len(second) + len(third))
        for row in (first, second, third)
        for each in row[at : at + 1]
    ]
    whole = answer(*events[:2], *mixed, events[-1])
    assert whole.content == (HELLO, tool_use("call_x", "f", "{}"), TextBlock(text="again"))


def test_an_item_that_gave_way_goes_on_behind_the_others() -> None:
    both: Json = {**message("hello"), "content": [*parts_of(message("hello")), *parts_of(refusal("no"))]}
    events = events_of(both, function_call("f", "{}"))
    late = [event for event in events[:-1] if event.get("content_index") == 1]
    told = [event for event in events[:-1] if event not in late]
    (item_done,) = [
        event for event in told if event["type"] == "response.output_item.done" and not event["output_index"]
    ]
    told.remove(item_done)
    whole = answer(*told, *late, item_done, events[-1])
    refused = TextBlock(text="no", extra={REFUSAL: TRUE})
    assert whole.content == (HELLO, tool_use("call_x", "f", "{}"), refused)


def test_a_server_that_numbers_all_items_alike_is_understood() -> None:
    events = [
        {**event, "output_index": 0} if "output_index" in event else event
        for event in events_of(message("hello"), function_call("f", "{}"))
    ]
    assert answer(*events).content == (HELLO, tool_use("call_x", "f", "{}"))


def test_parts_of_one_message_are_blocks_of_their_own() -> None:
    both = {**message("hello"), "content": [*parts_of(message("hello")), *parts_of(refusal("no"))]}
    refused = TextBlock(text="no", extra={REFUSAL: TRUE})
    for events in (events_of(both), without(events_of(both), "delta", "done")):
        whole = answer(*events)
        assert whole.content == (HELLO, refused)
        assert whole.stop_reason == "refusal"


def parts_of(item: Json) -> list[object]:
    content = item["content"]
    assert isinstance(content, list)
    return content


def test_a_thought_without_a_summary_is_redacted_and_one_without_anything_is_none() -> None:
    redacted = RedactedThinkingBlock(data="gAAAA", extra=RS_1)
    assert answer(*events_of(reasoning(), message("hello"))).content == (redacted, HELLO)
    assert answer(*events_of(reasoning(encrypted=None), message("hello"))).content == (HELLO,)


@pytest.mark.parametrize("name", ["response.reasoning_text.delta", "response.reasoning.delta"])
def test_reasoning_in_the_open_is_marked_so_that_it_can_go_back(name: str) -> None:
    item: Json = {"type": "reasoning", "id": "rs_1", "summary": []}
    done: Json = {**item, "content": [{"type": "reasoning_text", "text": "hmm"}]}
    events: list[Json] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": name, "output_index": 0, "content_index": 0, "delta": "hm"},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    marked = ThinkingBlock(thinking="hmm", extra={**RS_1, "reasoning_text": TRUE})
    last: Json = {"type": "response.completed", "response": response(done, message("hello"))}
    assert answer(*events, last).content == (marked, HELLO)
    assert decode_response(json.dumps(response(done, message("hello"))).encode()).content == (marked, HELLO)


def test_a_phase_is_kept_for_the_way_back() -> None:
    item = {**message("hello"), "phase": "commentary"}
    phased = TextBlock(text="hello", extra={"phase": Raw(b'"commentary"')})
    assert answer(*events_of(item)).content == (phased,)
    assert decode_response(json.dumps(response(item)).encode()).content == (phased,)


CALLS = [
    pytest.param({"name": None, "call_id": None}, id="neither name nor id"),
    pytest.param({"call_id": None}, id="no id"),
    pytest.param({"name": ""}, id="no name"),
]


@pytest.mark.parametrize("late", CALLS)
def test_a_call_whose_name_comes_late_waits_for_it(late: Json) -> None:
    events = events_of(function_call("f", '{"a":1}'))
    added = next(event for event in events if event["type"] == "response.output_item.added")
    item = added["item"]
    assert isinstance(item, dict)
    events[events.index(added)] = {**added, "item": {**item, **late}}
    assert answer(*events).content == (tool_use("call_x", "f", '{"a":1}'),)


def test_calls_without_an_id_or_with_a_taken_one_get_their_own() -> None:
    first, second = function_call("f", "{}", "c"), function_call("g", "{}", "c")
    whole = answer(*events_of(first, second, {**function_call("h", "{}"), "call_id": None}))
    assert whole.content == (
        tool_use("c", "f", "{}"),
        tool_use("call_resp_fake_1", "g", "{}"),
        tool_use("call_resp_fake_2", "h", "{}"),
    )


def test_arguments_may_be_an_object_and_need_not_be_json() -> None:
    item: Json = {**function_call("f", ""), "arguments": {"a": 1}}
    document = json.dumps(response(item, function_call("g", "{oops", "d"))).encode()
    assert decode_response(document).content == (
        tool_use("call_x", "f", '{"a": 1}'),
        tool_use("d", "g", "{oops"),
    )


def test_log_probabilities_come_with_their_text() -> None:
    tokens = [{"token": "he"}, {"token": "l"}]
    events = events_of(message("hello"), pieces=3)
    at = next(index for index, event in enumerate(events) if str(event["type"]).endswith("text.delta"))
    events[at] = {**events[at], "logprobs": tokens}
    (block,) = answer(*events).content
    assert isinstance(block, TextBlock)
    assert block.extra is not None
    assert json.loads(bytes(block.extra[LOGPROBS])) == tokens


def plain(block: Block) -> bytes:
    return msgspec.json.encode(block)


items = st.one_of(
    st.builds(message, st.text(max_size=6)),
    st.builds(refusal, st.text(max_size=6)),
    # An id that is given twice is told apart by the answer's own, which may come too late for that.
    st.builds(function_call, st.just("f"), st.sampled_from(["{}", '{"a": 1}', "{", ""]), st.uuids().map(str)),
    st.lists(st.text(min_size=1, max_size=4), max_size=3).map(lambda texts: reasoning(*texts)),
)


@given(st.lists(items, max_size=4), st.data())
def test_whatever_is_left_out_but_the_end_the_answer_is_the_same(
    output: list[Json], data: st.DataObject
) -> None:
    events = events_of(*output)
    kept = [event for event in events[:-1] if data.draw(st.booleans())]
    expected = decode_response(json.dumps(response(*output)).encode())
    assert answer(*events) == expected
    if not any(str(event["type"]).endswith("delta") for event in kept):
        again = answer(*kept, events[-1])
        # What only the last event tells comes last.
        assert Counter(map(plain, again.content)) == Counter(map(plain, expected.content))
        assert (again.stop_reason, again.usage) == (expected.stop_reason, expected.usage)


blocks = st.one_of(
    st.builds(TextBlock, text=st.text(min_size=1)),
    st.builds(TextBlock, text=st.text(min_size=1), extra=st.just({REFUSAL: TRUE})),
    st.builds(ThinkingBlock, thinking=st.text(min_size=1), signature=st.text(), extra=st.just(RS_1)),
    st.builds(RedactedThinkingBlock, data=st.text(min_size=1), extra=st.just(RS_1)),
    st.builds(tool_use, st.uuids().map(str), st.just("f"), st.sampled_from(["{}", '{"a": [1.50]}', "{oops"])),
)


@given(st.lists(blocks, max_size=5))
def test_what_our_own_server_tells_is_understood_streamed_and_not(content: list[Block]) -> None:
    usage = Usage(
        input_tokens=3, output_tokens=4, cache_read_tokens=5, cache_write_tokens=6, reasoning_tokens=2
    )
    told = Generation(id="g", model="m", content=tuple(content), stop_reason="max_tokens", usage=usage)
    encoder = ResponseEncoder(id="resp_1", created_at=7, echo=Echo(model="m"))
    stream = b"".join(encoder.feed(event) for event in taken_apart(told)) + encoder.finish(9)
    decoder = EventDecoder()
    heard = fold([one for event in SseDecoder().feed(stream) for one in decoder.feed(event.data)])
    assert decoder.end() == ()
    assert decode_response(encoder.response) == heard
    assert (heard.content, heard.stop_reason, heard.usage) == (told.content, told.stop_reason, usage)
