"""MCP's shapes of sampling, read and written."""

from __future__ import annotations

import msgspec
import pytest

from callboard.domain.sampling import (
    ImageContent,
    SamplingPolicy,
    SamplingResult,
    TextContent,
    ToolUseContent,
    decode_params,
)
from callboard.errors import InvalidRequest


def test_params_are_read_in_full_and_what_we_do_not_know_is_dropped() -> None:
    asked = decode_params(
        b'{"messages":[{"role":"user","content":{"type":"text","text":"hi","annotations":{}},"_meta":{}},'
        b'{"role":"user","content":[{"type":"image","data":"aGk=","mimeType":"image/png"}]}],'
        b'"modelPreferences":{"hints":[{"name":"o3"}],"speedPriority":0.5},"systemPrompt":"Be brief.",'
        b'"includeContext":"thisServer","temperature":0.5,"maxTokens":10,"stopSequences":["END"],'
        b'"metadata":{"x":1},"_meta":{"progressToken":1},"later":true}'
    )
    assert asked.messages[0].blocks == (TextContent(text="hi"),)
    assert asked.messages[1].blocks == (ImageContent(data="aGk=", mime_type="image/png"),)
    assert asked.model_preferences is not None
    assert asked.model_preferences.preferences().hints == ("o3",)
    assert (asked.system_prompt, asked.max_tokens, asked.temperature) == ("Be brief.", 10, 0.5)
    assert (asked.stop_sequences, asked.include_context) == (("END",), "thisServer")


@pytest.mark.parametrize(
    "params, named",
    [
        (b"", "invalid params"),
        (b"[" * 100_000, "invalid params"),
        (b'{"messages":[],"maxTokens":1}', r"\$.messages"),
        (b'{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]}', "maxTokens"),
        (b'{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":0}', "maxTokens"),
        (b'{"messages":[{"role":"system","content":{"type":"text","text":"hi"}}],"maxTokens":1}', "role"),
        (b'{"messages":[{"role":"user","content":{"type":"video"}}],"maxTokens":1}', r"content"),
        (b'{"messages":[{"role":"user","content":"hi"}],"maxTokens":1}', r"\[0\].content"),
        (b'{"messages":[{"role":"user","content":{"type":"text"}}],"maxTokens":1}', "text"),
    ],
)
def test_params_that_break_the_schema_are_refused_by_name(params: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        decode_params(params)


def test_a_result_is_written_as_the_wire_has_it() -> None:
    call = ToolUseContent(id="c1", name="look", input=msgspec.Raw(b'{"a":1}'))
    one = SamplingResult(role="assistant", content=TextContent(text="hi"), model="m", stop_reason="endTurn")
    many = SamplingResult(role="assistant", content=(call,), model="m", stop_reason="toolUse")
    assert msgspec.json.decode(msgspec.json.encode(one)) == {
        "role": "assistant",
        "content": {"type": "text", "text": "hi"},
        "model": "m",
        "stopReason": "endTurn",
    }
    assert msgspec.json.decode(msgspec.json.encode(many))["content"] == [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}}
    ]


def test_by_default_a_server_may_nothing() -> None:
    assert SamplingPolicy() == SamplingPolicy(
        enabled=False, models=(), max_tokens=4096, max_requests=16, tools=False, extra_args=()
    )
