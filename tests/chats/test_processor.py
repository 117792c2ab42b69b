"""StreamEventProcessor: a Responses stream in, the front's events out, and exactly one end."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from callboard.chats.events import ErrorEvent, FrontEvent, ResponseDone, TextDone
from callboard.chats.processor import StreamEventProcessor
from callboard.chats.response_events import decode_response_event
from callboard.errors import RemoteWireError, UpstreamUnreachable
from tests.chats.world import kinds
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import events_of, message, refusal, response

ID = "resp_real_test_123"
REAL: tuple[Json, ...] = (
    {"type": "response.created", "response": {"id": ID}},
    {"type": "response.in_progress"},
    {"type": "response.output_item.added"},
    {"type": "response.content_part.added"},
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.output_text.delta", "delta": " from"},
    {"type": "response.output_text.delta", "delta": " real"},
    {"type": "response.output_text.delta", "delta": " API!"},
    {"type": "response.output_text.done", "content_part": {"text": "Hello from real API!"}},
    {"type": "response.content_part.done"},
    {"type": "response.output_item.done"},
    {"type": "response.completed", "response": {"id": ID}},
)


def processed(events: Sequence[Json]) -> tuple[StreamEventProcessor, list[FrontEvent]]:
    processor = StreamEventProcessor()
    told = [
        shown
        for event in events
        for shown in processor.feed(decode_response_event(json.dumps(event).encode()))
    ]
    return processor, [*told, *processor.finish()]


def error_of(told: Sequence[FrontEvent]) -> str:
    last = told[-1]
    assert isinstance(last, ErrorEvent)
    assert not any(isinstance(each, ErrorEvent | ResponseDone) for each in told[:-1])
    return last.error_code


def test_the_real_sequence_becomes_the_expected_one() -> None:
    processor, told = processed(REAL)
    assert kinds(told) == ["text_created", *["text_delta"] * 4, "text_done", "response_done"]
    assert told[5] == TextDone(text="Hello from real API!", response_id=ID)
    assert told[6] == ResponseDone(response_id=ID)
    assert (processor.response_id, processor.text, processor.answered) == (ID, "Hello from real API!", True)
    assert processor.unknown == 3


def test_a_stream_as_a_provider_tells_it_becomes_the_same() -> None:
    processor, told = processed(events_of(message("one two", 3)))
    assert set(kinds(told)) == {"text_created", "text_delta", "text_done", "response_done"}
    assert (processor.text, processor.item_id) == ("one two", "msg_3")


def test_nothing_comes_after_the_end() -> None:
    processor, told = processed((*REAL, *REAL, {"type": "error", "code": "x", "message": "x"}))
    assert kinds(told).count("response_done") == 1
    assert kinds(told)[-1] == "response_done"
    assert processor.fail(UpstreamUnreachable("x")) == ()


@pytest.mark.parametrize(
    "last, code",
    [
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, "api_error"),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, "rate_limit"),
        ({"type": "response.failed", "response": {}}, "api_error"),
        ({"type": "response.failed"}, "api_error"),
        ({"type": "error", "code": "insufficient_quota", "message": "secret"}, "quota_exceeded"),
        ({"type": "error", "error": {"type": "invalid_request_error", "code": None}}, "invalid_request"),
        ({"type": "error"}, "api_error"),
        (
            {
                "type": "response.incomplete",
                "response": {"status": "incomplete", "incomplete_details": {"reason": "interrupted"}},
            },
            "connection_error",
        ),
        ({"type": "response.incomplete", "response": {"status": "cancelled"}}, "connection_error"),
    ],
)
def test_an_answer_that_fails_ends_with_its_code_and_keeps_its_text(last: Json, code: str) -> None:
    processor, told = processed((*REAL[:6], last))
    assert error_of(told) == code
    assert (processor.text, processor.answered) == ("Hello from", False)
    assert "secret" not in repr(told)


def test_a_stream_that_is_cut_ends_with_an_error_and_keeps_its_text() -> None:
    processor, told = processed(REAL[:6])
    assert error_of(told) == "connection_error"
    assert processor.text == "Hello from"


def test_an_answer_that_was_not_allowed_to_be_longer_is_an_answer() -> None:
    end: Json = {
        "type": "response.incomplete",
        "response": {"id": ID, "incomplete_details": {"reason": "max_output_tokens"}},
    }
    processor, told = processed((*REAL[:-1], end))
    assert told[-1] == ResponseDone(response_id=ID, incomplete="max_output_tokens")
    assert processor.answered


def test_a_refusal_is_shown_as_the_text_it_is() -> None:
    processor, told = processed(events_of(refusal("I would rather not.")))
    assert kinds(told)[-2:] == ["text_done", "response_done"]
    assert processor.text == "I would rather not."


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete"])
def test_an_answer_of_nothing_is_an_error(end: str) -> None:
    _, told = processed((REAL[0], {"type": end, "response": {"id": ID}}))
    assert error_of(told) == "empty_response"


def test_a_text_that_came_only_with_the_end_is_shown() -> None:
    end: Json = {"type": "response.completed", "response": response(message("whole"))}
    processor, told = processed((end,))
    assert kinds(told) == ["text_created", "text_done", "response_done"]
    assert processor.text == "whole"


def test_what_goes_on_beside_the_text_is_told() -> None:
    part: Json = {"item_id": "rs_1", "summary_index": 0}
    search: Json = {"item_id": "ws_1", "output_index": 1, "sequence_number": 9}
    call: Json = {"type": "function_call", "id": "fc_1", "name": "add"}
    aside: list[Json] = [
        {"type": "response.reasoning_summary_part.added", **part},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm", **part},
        {"type": "response.reasoning_summary_part.done", **part},
        {"type": "response.reasoning_summary_part.added", **part},
        {"type": "response.web_search_call.in_progress", **search},
        {"type": "response.web_search_call.searching", **search},
        {"type": "response.web_search_call.completed", **search},
        {"type": "response.web_search_call.completed"},
        {"type": "response.output_item.added", "item": call},
        {"type": "response.output_item.done", "item": {**call, "status": "completed"}},
    ]
    _, told = processed((REAL[0], *aside, *REAL[1:]))
    assert kinds(told)[:10] == [
        "text_created",
        "reasoning_started",
        "reasoning_in_progress",
        "reasoning_completed",
        "reasoning_in_progress",
        "search_started",
        "search_in_progress",
        "search_completed",
        "tool_call_started",
        "tool_call_completed",
    ]


def test_several_texts_are_one_answer_and_each_is_done_for_itself() -> None:
    processor, told = processed(events_of(message("one "), message("two", 1)))
    done = [each.text for each in told if isinstance(each, TextDone)]
    assert (done, processor.text, processor.item_id) == (["one ", "two"], "one two", "msg_0")


def test_an_event_of_a_kind_that_we_do_not_know_may_look_as_it_likes() -> None:
    _, told = processed((REAL[0], {"type": "response.new", "delta": [1], "response": 7}, *REAL[1:]))
    assert kinds(told)[-1] == "response_done"


@pytest.mark.parametrize("data", [b"{", b"7", b'{"type":"response.output_text.delta","delta":{}}'])
def test_what_is_no_event_cannot_be_read(data: bytes) -> None:
    with pytest.raises(RemoteWireError):
        decode_response_event(data)
