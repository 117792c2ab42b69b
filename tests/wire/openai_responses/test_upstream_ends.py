"""How an upstream's answer ends: whole, incomplete, failed, cut, or as no answer at all."""

from __future__ import annotations

import json

import pytest

from callboard.domain.arguments import tool_use
from callboard.domain.block import TextBlock
from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamServerError,
)
from callboard.wire.openai_responses.upstream_stream import EventDecoder, decode_response
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import events_of, function_call, message, response
from tests.wire.openai_responses.upstream_events import OUTPUT, answer, decoded


@pytest.mark.parametrize(
    "reason, expected",
    [("max_output_tokens", "max_tokens"), ("content_filter", "refusal"), ("other", "max_tokens")],
)
def test_an_incomplete_answer_says_why(reason: str, expected: str) -> None:
    cut = {**message("hel"), "status": "incomplete"}
    end = response(cut, status="incomplete", incomplete_details={"reason": reason})
    streamed = answer(*events_of(cut, last=end))
    assert (streamed.content, streamed.stop_reason) == ((TextBlock(text="hel"),), expected)
    assert decode_response(json.dumps(end).encode()) == streamed


def test_a_call_cut_by_the_limit_is_kept_and_marked() -> None:
    cut = {**function_call("f", '{"a": '), "status": "incomplete"}
    end = response(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    whole = answer(*events_of(cut, last=end))
    assert (whole.content, whole.stop_reason) == ((tool_use("call_x", "f", '{"a": '),), "max_tokens")


FLAT: Json = {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}
ERRORS = [
    pytest.param(FLAT, UpstreamRateLimited, id="flat"),
    pytest.param(
        {"type": "error", "error": {"type": "invalid_request_error", "code": None, "message": "no"}},
        UpstreamInvalid,
        id="nested",
    ),
    pytest.param({"error": {"message": "busy", "code": 503}}, UpstreamError, id="without a type"),
    pytest.param({"type": "error"}, UpstreamServerError, id="without a word"),
    pytest.param(
        {
            "type": "response.failed",
            "response": response(
                status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"}
            ),
        },
        UpstreamRateLimited,
        id="failed",
    ),
    pytest.param(
        {"type": "response.failed", "response": response(status="failed")},
        UpstreamServerError,
        id="failed mutely",
    ),
    pytest.param({"type": "response.failed"}, UpstreamServerError, id="failed without a response"),
    pytest.param({"type": "response.cancelled"}, UpstreamServerError, id="cancelled"),
    pytest.param(
        {"type": "response.completed", "response": response(status="failed")},
        UpstreamServerError,
        id="not completed",
    ),
]


@pytest.mark.parametrize("event, kind", ERRORS)
def test_an_error_is_raised_wherever_it_comes(event: Json, kind: type[UpstreamError]) -> None:
    events = events_of(message("hello"))[:-1]
    for at in range(len(events) + 1):
        with pytest.raises(kind):
            decoded(*events[:at], event)


def test_what_fails_before_the_first_item_has_shown_nothing() -> None:
    decoder = EventDecoder()
    for event in events_of(message("hello"))[:2]:
        assert decoder.feed(json.dumps(event).encode()) == ()
    with pytest.raises(UpstreamRateLimited):
        decoder.feed(json.dumps(FLAT).encode())


def test_a_stream_that_ends_before_its_last_event_is_incomplete() -> None:
    events = events_of(*OUTPUT)
    for at in range(len(events)):
        decoder = EventDecoder()
        for event in events[:at]:
            decoder.feed(json.dumps(event).encode())
        assert decoder.feed(b"[DONE]") == ()
        with pytest.raises(StreamIncomplete):
            decoder.end()


def test_an_answer_of_nothing_is_an_answer() -> None:
    whole = answer(*events_of())
    assert (whole.content, whole.stop_reason, whole.id) == ((), "end_turn", "resp_fake")
    assert decode_response(json.dumps(response()).encode()) == whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"\xff",
        b'{"type":3}',
        b'{"type":"response.output_text.delta","delta":3}',
        b'{"type":"response.output_item.done","item":{"type":"message","content":3}}',
        b'{"type":"response.output_item.added","item":{"type":"function_call","name":3}}',
        b'{"type":"response.output_item.added","item":[]}',
        b'{"type":"response.completed","response":{"output":3}}',
        b'{"type":"response.completed","response":{"output":[3]}}',
    ],
)
def test_data_that_breaks_the_dialect_is_the_upstreams_fault(data: bytes) -> None:
    with pytest.raises(RemoteWireError):
        EventDecoder().feed(data)


@pytest.mark.parametrize(
    "body, kind",
    [
        (b"", RemoteWireError),
        (b"[]", RemoteWireError),
        (b"{}", RemoteWireError),
        (b'{"choices":[]}', RemoteWireError),
        (b'{"error":{"code":"rate_limit_exceeded","message":"m"}}', UpstreamRateLimited),
        (json.dumps(response(status="failed")).encode(), UpstreamServerError),
        (json.dumps(response(status="cancelled")).encode(), UpstreamServerError),
        (json.dumps(response(status="in_progress")).encode(), StreamIncomplete),
        (json.dumps(response(status="queued")).encode(), StreamIncomplete),
    ],
)
def test_a_document_that_is_no_answer_is_none(body: bytes, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind) as raised:
        decode_response(body)
    assert type(raised.value) is kind
