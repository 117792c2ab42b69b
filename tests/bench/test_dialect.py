"""What the loader understands of answers."""

from __future__ import annotations

import pytest

from callboard.bench.dialect import Reading, read_whole, reading_of
from callboard.bench.plan import Api
from callboard.errors import RemoteWireError
from tests.bench.target import DONE, FINISH, USAGE, delta


def read(api: Api, *documents: str) -> tuple[Reading, list[bool]]:
    reading = reading_of(api)
    return reading, [reading.take(document.encode()) for document in documents]


def test_a_chat_stream_is_deltas_then_usage_then_its_end() -> None:
    role = '{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
    reading, content = read("chat", role, delta("a"), delta("b"), USAGE, DONE)
    assert content == [False, True, True, False, False]
    assert (reading.tokens, reading.over, reading.failed) == (7, True, False)


@pytest.mark.parametrize(
    "field",
    [
        '"reasoning_content":"hm"',
        '"reasoning":"hm"',
        '"refusal":"no"',
        '"tool_calls":[{"index":0,"function":{"arguments":"{"}}]',
        '"content":[{"type":"text","text":"a"}]',
    ],
)
def test_whatever_the_model_says_is_content(field: str) -> None:
    _, content = read("chat", f'{{"choices":[{{"delta":{{{field}}}}}]}}')
    assert content == [True]


def test_a_reason_to_finish_ends_a_chat_stream_too() -> None:
    reading, content = read("chat", delta("a"), FINISH)
    assert content == [True, False]
    assert reading.over
    assert reading.tokens is None


def test_deltas_alone_do_not_end_a_chat_stream() -> None:
    reading, _ = read("chat", delta("a"))
    assert not reading.over


def test_an_error_within_a_chat_stream_is_a_failure() -> None:
    reading, content = read("chat", '{"error":{"message":"no"}}')
    assert reading.failed
    assert content == [False]


def test_a_responses_stream_is_deltas_and_a_completed_response() -> None:
    reading, content = read(
        "responses",
        '{"type":"response.created","response":{"status":"in_progress","usage":null}}',
        '{"type":"response.output_text.delta","delta":"a"}',
        '{"type":"response.function_call_arguments.delta","delta":"{"}',
        '{"type":"response.output_text.done","text":"a"}',
        '{"type":"response.completed","response":{"status":"completed","usage":{"output_tokens":4}}}',
    )
    assert content == [False, True, True, False, False]
    assert (reading.tokens, reading.over, reading.failed) == (4, True, False)


def test_an_incomplete_response_is_over_all_the_same() -> None:
    reading, _ = read("responses", '{"type":"response.incomplete","response":{"usage":{"output_tokens":1}}}')
    assert reading.over
    assert reading.tokens == 1


@pytest.mark.parametrize("kind", ["response.failed", "error"])
def test_a_failed_response_is_a_failure(kind: str) -> None:
    reading, _ = read("responses", f'{{"type":"{kind}"}}')
    assert reading.failed
    assert not reading.over


def test_done_does_not_complete_a_response() -> None:
    reading, content = read("responses", DONE)
    assert content == [False]
    assert not reading.over


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_event_that_is_not_json_breaks_the_dialect(api: Api) -> None:
    with pytest.raises(RemoteWireError):
        read(api, "oops")


@pytest.mark.parametrize(
    "body, tokens, failed",
    [
        (b'{"choices":[],"usage":{"completion_tokens":3}}', 3, False),
        (b'{"output":[],"status":"completed","error":null,"usage":{"output_tokens":4}}', 4, False),
        (b'{"output":[],"status":"failed","usage":null}', None, True),
        (b'{"error":{"message":"no"}}', None, True),
        (b"{}", None, False),
    ],
)
def test_a_whole_answer_tells_its_tokens_and_its_failure(
    body: bytes, tokens: int | None, failed: bool
) -> None:
    assert read_whole(body) == (tokens, failed)


def test_a_whole_answer_that_is_no_object_breaks_the_dialect() -> None:
    with pytest.raises(RemoteWireError):
        read_whole(b"<html>")
