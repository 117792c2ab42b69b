"""Request bodies."""

from __future__ import annotations

import json

import pytest

from callboard.bench.payload import built_in, from_file
from callboard.errors import ConfigurationError


def test_the_built_in_chat_request_asks_for_the_usage_of_a_stream() -> None:
    payload = built_in("chat", model="m", stream=True, max_tokens=9)
    document = json.loads(payload.body)
    assert payload.stream
    assert document["model"] == "m"
    assert document["messages"][0]["role"] == "user"
    assert document["max_tokens"] == 9
    assert document["stream"] is True
    assert document["stream_options"] == {"include_usage": True}


def test_the_built_in_responses_request_speaks_its_own_dialect() -> None:
    document = json.loads(built_in("responses", model="m", stream=True, max_tokens=9).body)
    assert set(document) == {"model", "input", "max_output_tokens", "stream"}


def test_what_is_not_asked_for_is_not_said() -> None:
    assert set(json.loads(built_in("chat", model="m", stream=False).body)) == {"model", "messages"}


@pytest.mark.parametrize("size", [77, 78, 100, 1000, 20_000])
def test_the_prompt_is_padded_to_the_byte(size: int) -> None:
    payload = built_in("chat", model="m", stream=False, prompt_bytes=size)
    assert len(json.loads(payload.body)["messages"][0]["content"]) == size


def test_one_object_may_span_lines() -> None:
    (payload,) = from_file(b'{\n "model": "m",\n "x": 1.50\n}\n', model=None, stream=None)
    assert payload.body == b'{"model":"m","x":1.50}'
    assert not payload.stream


def test_lines_are_requests_and_empty_ones_are_not() -> None:
    payloads = from_file(b'{"model":"a"}\n\n{"model":"b","stream":true}\n', model=None, stream=None)
    assert [payload.body for payload in payloads] == [b'{"model":"a"}', b'{"model":"b","stream":true}']
    assert [payload.stream for payload in payloads] == [False, True]


def test_flags_override_what_the_file_says() -> None:
    (payload,) = from_file(b'{"model":"a","stream":false}', model="b", stream=True)
    assert json.loads(payload.body) == {"model": "b", "stream": True}
    assert payload.stream


def test_stream_options_go_with_the_stream() -> None:
    body = b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}'
    (payload,) = from_file(body, model=None, stream=False)
    assert json.loads(payload.body) == {"model": "a", "stream": False}


@pytest.mark.parametrize(
    "data, complaint",
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b'{"model":"a"}\n[1]\n', "line 2"),
        (b"not json", "line 1"),
        (b'{"stream":true}', "names no model"),
    ],
)
def test_a_file_that_cannot_be_sent_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        from_file(data, model=None, stream=None)
