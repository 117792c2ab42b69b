"""Unstreamed answers: what they say, and what they do not."""

import json

import msgspec
import pytest
from hypothesis import given
from msgspec import Raw
from openai.types.chat import ChatCompletion

from callboard.domain.arguments import tool_use
from callboard.domain.block import Block, TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.fold import LOGPROBS
from callboard.domain.generation import Generation, StopReason
from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError, UpstreamInvalid, UpstreamRateLimited
from callboard.wire.openai_chat.response import (
    decode_response,
    decode_tool_call,
    decode_usage,
    encode_response,
    encode_usage,
    usage_of,
)
from callboard.wire.openai_chat.schema import FunctionCall, FunctionDefinition, Tool, ToolCall
from tests.domain.conversations import generations, usages


def document(message: dict[str, object], finish_reason: str | None = "stop", **fields: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return msgspec.json.encode({"id": "chatcmpl-1", "model": "m", "choices": [choice], **fields})


def call(name: str, arguments: object = "{}", **fields: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def content(message: dict[str, object]) -> tuple[Block, ...]:
    return decode_response(document(message)).content


def test_a_plain_answer_is_one_text() -> None:
    answer = decode_response(document({"content": "hi", "refusal": None}, system_fingerprint="fp"))
    assert answer == Generation(
        id="chatcmpl-1",
        model="m",
        content=(TextBlock(text="hi"),),
        stop_reason="end_turn",
        extra={"system_fingerprint": Raw(b'"fp"')},
    )


@pytest.mark.parametrize("message", [{"content": None}, {"content": ""}, {}])
def test_an_answer_of_nothing_has_no_blocks(message: dict[str, object]) -> None:
    assert content(message) == ()


@pytest.mark.parametrize(
    "message, expected",
    [
        pytest.param(
            {"content": None, "tool_calls": [call("f", '{"a":1}', id="c1"), call("g", "{}", id="c2")]},
            (tool_use("c1", "f", '{"a":1}'), tool_use("c2", "g", "{}")),
            id="parallel calls",
        ),
        pytest.param(
            {"tool_calls": [call("f", {"a": 1}, id="c")]}, (tool_use("c", "f", '{"a":1}'),), id="an object"
        ),
        pytest.param(
            {"tool_calls": [call("f", None, id="c")]}, (tool_use("c", "f", ""),), id="null arguments"
        ),
        pytest.param(
            {"tool_calls": [call("f", '{"a":', id="c")]}, (tool_use("c", "f", '{"a":'),), id="bad arguments"
        ),
        pytest.param(
            {"tool_calls": [call("f"), call("f", id=None), call("f", id="x"), call("f", id="x")]},
            tuple(
                tool_use(name, "f", "{}")
                for name in ("call_chatcmpl-1_0", "call_chatcmpl-1_1", "x", "call_chatcmpl-1_3")
            ),
            id="ids missing or taken",
        ),
        pytest.param(
            {"function_call": {"name": "f", "arguments": "{}"}},
            (tool_use("call_chatcmpl-1_0", "f", "{}"),),
            id="legacy call",
        ),
        pytest.param(
            {"reasoning_content": "hm", "content": "yes"},
            (ThinkingBlock(thinking="hm"), TextBlock(text="yes")),
            id="reasoning",
        ),
        pytest.param({"reasoning": "hm"}, (ThinkingBlock(thinking="hm"),), id="reasoning by its other name"),
        pytest.param(
            {
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "reference"},
                    {"type": "text", "text": "b"},
                ]
            },
            (TextBlock(text="ab"),),
            id="content in pieces",
        ),
        pytest.param(
            {"content": None, "refusal": "I cannot."},
            (TextBlock(text="I cannot.", extra={"refusal": Raw(b"true")}),),
            id="refusal",
        ),
    ],
)
def test_a_message_becomes_blocks(message: dict[str, object], expected: tuple[Block, ...]) -> None:
    assert content(message) == expected


@pytest.mark.parametrize(
    "finish_reason, message, expected",
    [
        ("stop", {"content": "a"}, "end_turn"),
        ("tool_calls", {"tool_calls": [call("f", id="c")]}, "tool_use"),
        ("stop", {"tool_calls": [call("f", id="c")]}, "tool_use"),
        (None, {"tool_calls": [call("f", id="c")]}, "tool_use"),
        ("function_call", {"function_call": {"name": "f", "arguments": ""}}, "tool_use"),
        ("length", {"content": "a"}, "max_tokens"),
        ("length", {"tool_calls": [call("f", '{"a', id="c")]}, "max_tokens"),
        ("model_length", {"content": "a"}, "max_tokens"),
        ("content_filter", {"content": ""}, "refusal"),
        ("stop", {"refusal": "no"}, "refusal"),
        (None, {"content": "a"}, "end_turn"),
        ("eos", {"content": "a"}, "end_turn"),
    ],
)
def test_a_finish_reason_becomes_a_stop_reason(
    finish_reason: str | None, message: dict[str, object], expected: str
) -> None:
    assert decode_response(document(message, finish_reason)).stop_reason == expected


@pytest.mark.parametrize(
    "stop_reason, expected",
    [
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
    ],
)
def test_a_stop_reason_becomes_a_finish_reason(stop_reason: StopReason, expected: str) -> None:
    answer = Generation(id="g", model="m", content=(), stop_reason=stop_reason)
    assert (
        json.loads(encode_response(answer, id="i", model="m", created=1))["choices"][0]["finish_reason"]
        == expected
    )


def test_early_vision_models_say_why_they_stopped_elsewhere() -> None:
    body = b'{"choices":[{"message":{"content":"a"},"finish_details":{"type":"max_tokens"}}]}'
    assert decode_response(body).stop_reason == "max_tokens"


def test_of_several_choices_the_first_counts() -> None:
    body = b'{"choices":[{"index":1,"message":{"content":"b"}},{"index":0,"message":{"content":"a"}}]}'
    assert decode_response(body).content == (TextBlock(text="a"),)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{}]}',
        b"<html>",
        b"",
        b"[" * 9_000,
        b'{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"\xff"}}]}}]}',
    ],
)
def test_an_answer_that_breaks_the_dialect_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(RemoteWireError):
        decode_response(body)


def test_an_error_in_the_place_of_an_answer_is_that_error() -> None:
    with pytest.raises(UpstreamRateLimited, match="slow down"):
        decode_response(b'{"error":{"message":"slow down","code":429}}')
    with pytest.raises(UpstreamInvalid):
        decode_response(b'{"choices":[],"error":{"code":"content_filter","status":400}}')


def test_log_probabilities_stay_with_their_text() -> None:
    tokens = [{"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}]
    choice = {
        "message": {"content": "hi"},
        "finish_reason": "stop",
        "logprobs": {"content": tokens, "refusal": None},
    }
    answer = decode_response(msgspec.json.encode({"choices": [choice]}))
    assert answer.content == (TextBlock(text="hi", extra={LOGPROBS: Raw(msgspec.json.encode(tokens))}),)
    encoded = encode_response(answer, id="i", model="m", created=1)
    assert json.loads(encoded)["choices"][0]["logprobs"] == {"content": tokens, "refusal": None}
    ChatCompletion.model_validate_json(encoded, strict=True)


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 20,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def test_no_token_is_counted_twice() -> None:
    usage = decode_response(document({"content": "a"}, usage=USAGE)).usage
    assert usage == Usage(
        input_tokens=30, output_tokens=50, cache_read_tokens=60, cache_write_tokens=10, reasoning_tokens=20
    )
    assert usage.total_tokens == 150
    assert msgspec.to_builtins(encode_usage(usage)) == USAGE


@given(usages)
def test_usage_survives_both_ways(usage: Usage | None) -> None:
    assert usage is None or usage_of(encode_usage(usage)) == usage


@pytest.mark.parametrize(
    "body, expected",
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', Usage(input_tokens=3, output_tokens=4)),
        (b'{"usage":{"prompt_tokens":null,"prompt_tokens_details":{"cached_tokens":null}}}', Usage()),
        (
            b'{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}}',
            Usage(cache_read_tokens=9),
        ),
        (b'{"usage":null}', None),
        (b"{}", None),
        (b"<html>", None),
        (b'{"usage":{"prompt_tokens":"many"}}', None),
    ],
)
def test_the_usage_alone_is_read_with_patience(body: bytes, expected: Usage | None) -> None:
    assert decode_usage(body) == expected


def test_an_answer_is_encoded_with_every_field_that_clients_expect() -> None:
    answer = Generation(
        id="g",
        model="up",
        content=(
            ThinkingBlock(thinking="hm"),
            TextBlock(text="a"),
            TextBlock(text="b"),
            tool_use("c", "f", "{x"),
        ),
        stop_reason="tool_use",
        usage=Usage(input_tokens=1),
        extra={"service_tier": Raw(b'"default"'), "system_fingerprint": Raw(b'"fp"')},
    )
    body = json.loads(encode_response(answer, id="chatcmpl-2", model="m", created=7))
    assert body.pop("usage")["total_tokens"] == 1
    assert body == {
        "id": "chatcmpl-2",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "annotations": [],
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{x"}}
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "system_fingerprint": "fp",
        "service_tier": "default",
    }


@given(generations)
def test_the_official_client_takes_every_answer(answer: Generation) -> None:
    plain = tuple(
        block for block in answer.content if not isinstance(block, TextBlock) or block.extra is None
    )
    body = encode_response(msgspec.structs.replace(answer, content=plain), id="i", model="m", created=1)
    taken = ChatCompletion.model_validate_json(body, strict=True)
    calls = taken.choices[0].message.tool_calls or []
    assert [one.id for one in calls] == [block.id for block in plain if isinstance(block, ToolUseBlock)]


def test_a_call_of_the_dialect_becomes_a_block() -> None:
    wire = ToolCall(id="c", function=FunctionCall(name="f", arguments=Raw(b'"{}"')))
    assert decode_tool_call(wire) == tool_use("c", "f", "{}")
    with pytest.raises(TypeError):
        decode_tool_call(Tool(function=FunctionDefinition(name="f")))


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [call("f")] * 1_025},
        {"content": [{"type": "text", "text": "x"}] * 1_025},
        {"content": [{}] * 100_001},
    ],
    ids=["calls", "pieces", "more values than are counted"],
)
def test_a_message_of_more_parts_than_any_model_makes_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(RemoteWireError, match="more than"):
        decode_response(document(message))


def test_a_document_of_too_many_choices_is_refused() -> None:
    with pytest.raises(RemoteWireError, match="at most length 128"):
        decode_response(b'{"choices":[%b]}' % b",".join([b'{"message":{}}'] * 129))


def test_a_thousand_calls_and_any_length_of_text_are_read() -> None:
    assert len(content({"tool_calls": [call("f")] * 1_024})) == 1_024
    assert content({"content": '[{"' * 200_000}) == (TextBlock(text='[{"' * 200_000),)
