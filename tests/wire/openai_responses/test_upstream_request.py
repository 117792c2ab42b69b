"""Requests for an upstream of the dialect, whichever dialect they came in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from callboard.domain.block import Extra, RedactedThinkingBlock, TextBlock, ThinkingBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message, user_text
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import LocalWireError, UpstreamInvalid
from callboard.wire.openai_chat.request import decode_request as decode_chat
from callboard.wire.openai_responses.request import decode_request
from callboard.wire.openai_responses.upstream_request import (
    ENCRYPTED_REASONING,
    LOGPROBS,
    encode_request,
    encode_tools,
)
from tests.wire.openai_chat.recorded import Exchange
from tests.wire.openai_responses.upstream_recorded import EXCHANGES

PLAIN = ModelTraits()
REASONING = ModelTraits(reasoning=True)
HELLO = {"type": "message", "role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL = ToolDefinition(name="f", description="d", input_schema=Raw(msgspec.json.encode(SCHEMA)))
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA}


def asking(**fields: object) -> GenerationRequest:
    given: dict[str, object] = {"model": "m", "messages": (user_text("hello"),), **fields}
    return GenerationRequest(**given)  # type: ignore[arg-type]  # keyword arguments passed through


def sent(request: GenerationRequest, traits: ModelTraits = PLAIN, *, stream: bool = False) -> Any:
    return json.loads(encode_request(request, upstream_name="up-1", traits=traits, stream=stream))


def from_chat(**fields: object) -> GenerationRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return decode_chat(json.dumps(body).encode()).request


def from_responses(**fields: object) -> GenerationRequest:
    return decode_request(json.dumps({"model": "m", "input": "hello", **fields}).encode()).request


def test_a_basic_request_says_no_more_than_it_must() -> None:
    assert sent(asking(temperature=0.7, max_output_tokens=100, user="u")) == {
        "model": "up-1",
        "input": [HELLO],
        "store": False,
        "temperature": 0.7,
        "max_output_tokens": 100,
        "user": "u",
    }
    assert sent(asking(), stream=True)["stream"] is True


def test_the_first_instruction_stands_apart_and_the_others_before_the_conversation() -> None:
    body = sent(asking(system=(TextBlock(text="one"), TextBlock(text="two"))))
    assert body["instructions"] == "one"
    assert body["input"] == [{"type": "message", "role": "system", "content": "two"}, HELLO]


def test_instructions_alone_are_the_input() -> None:
    body = sent(asking(messages=(), system=(TextBlock(text="one"),)), REASONING)
    assert "instructions" not in body
    assert body["input"] == [{"type": "message", "role": "developer", "content": "one"}]


@pytest.mark.parametrize(
    "choice, expected",
    [
        (None, None),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="tool", name="f"), {"type": "function", "name": "f"}),
    ],
)
def test_tools_are_functions_and_a_choice_among_them_is_told(
    choice: ToolChoice | None, expected: object
) -> None:
    body = sent(asking(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=False))
    assert body["tools"] == [{**FUNCTION, "strict": False}]
    assert body.get("tool_choice") == expected
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("traits", [PLAIN, ModelTraits(tools=False)])
def test_without_tools_nothing_is_said_of_them(traits: ModelTraits) -> None:
    tools = () if traits.tools else (TOOL,)
    body = sent(asking(tools=tools, tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=True), traits)
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_function_is_as_strict_as_its_own_dialect_has_it(strict: bool | None) -> None:
    told = {"name": "f", "parameters": SCHEMA, **({} if strict is None else {"strict": strict})}
    (of_chat,) = sent(from_chat(tools=[{"type": "function", "function": told}]))["tools"]
    (of_responses,) = sent(from_responses(tools=[{"type": "function", **told}]))["tools"]
    assert of_chat["strict"] is bool(strict)
    assert of_responses.get("strict") is strict
    assert [tool.strict for tool in encode_tools((TOOL,))] == [False]


def test_the_tools_that_chat_allows_are_allowed() -> None:
    named = [{"type": "function", "function": {"name": "f"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    body = sent(from_chat(tools=tools, tool_choice=choice))
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}],
    }
    assert [tool["name"] for tool in body["tools"]] == ["f", "g"]
    other = {"type": "custom", "custom": {"name": "x"}}
    assert "tool_choice" not in sent(from_chat(tools=tools, tool_choice=other))


def test_the_tools_that_responses_allows_are_all_there_are() -> None:
    tools = [{"type": "function", "name": name} for name in ("f", "g")]
    choice = {"type": "allowed_tools", "mode": "required", "tools": tools[:1]}
    body = sent(from_responses(tools=tools, tool_choice=choice))
    assert (body["tool_choice"], [tool["name"] for tool in body["tools"]]) == ("required", ["f"])


def test_a_reasoning_model_gets_its_own_parameters() -> None:
    extra: Extra = {"top_logprobs": Raw(b"2"), "presence_penalty": Raw(b"1"), "truncation": Raw(b'"auto"')}
    body = sent(asking(temperature=0.7, top_p=0.5, reasoning_effort="high", extra=extra), REASONING)
    assert body == {
        "model": "up-1",
        "input": [HELLO],
        "store": False,
        "reasoning": {"effort": "high"},
        "include": [ENCRYPTED_REASONING],
        "truncation": "auto",
    }


@pytest.mark.parametrize(
    "request_, traits, wanted",
    [
        (asking(), PLAIN, None),
        (asking(), REASONING, [ENCRYPTED_REASONING]),
        (asking(reasoning_effort="low"), PLAIN, [ENCRYPTED_REASONING]),
        (from_responses(reasoning={"summary": "auto"}), PLAIN, [ENCRYPTED_REASONING]),
        (from_responses(include=[ENCRYPTED_REASONING, "x"]), REASONING, [ENCRYPTED_REASONING, "x"]),
    ],
)
def test_reasoning_is_wanted_encrypted_wherever_there_is_any(
    request_: GenerationRequest, traits: ModelTraits, wanted: object
) -> None:
    assert sent(request_, traits).get("include") == wanted


def test_a_client_of_the_dialect_is_told_on_word_for_word() -> None:
    fields: dict[str, object] = {
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "service_tier": "flex",
        "truncation": "auto",
        "top_logprobs": 2,
        "include": ["message.output_text.logprobs"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "vendor": {"x": [1]},
    }
    body = sent(from_responses(**fields, store=True, stream_options={"include_obfuscation": False}))
    wanted = [LOGPROBS, ENCRYPTED_REASONING]
    assert body == {"model": "up-1", "input": [HELLO], "store": False, **fields, "include": wanted}
    streamed = sent(from_responses(stream_options={"include_obfuscation": False}), stream=True)
    assert streamed["stream_options"] == {"include_obfuscation": False}


def test_tools_that_only_the_upstream_can_run_are_told_of_with_what_is_said_of_them() -> None:
    search: dict[str, object] = {"type": "web_search"}
    fields: dict[str, object] = {"tools": [search], "tool_choice": search, "max_tool_calls": 3}
    assert sent(from_responses(**fields)) == {"model": "up-1", "input": [HELLO], "store": False, **fields}


def test_a_client_of_chat_is_told_on_in_other_words() -> None:
    fields: dict[str, object] = {
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "service_tier": "flex",
        "user": "u",
    }
    request = from_chat(
        **fields,
        verbosity="low",
        logprobs=True,
        top_logprobs=2,
        seed=7,
        max_tokens=9,
        response_format={"type": "json_object"},
        logit_bias={"1": 2},
        store=True,
        vendor=1,
    )
    assert sent(request) == {
        "model": "up-1",
        "input": [HELLO],
        "store": False,
        "max_output_tokens": 9,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "top_logprobs": 2,
        "include": [LOGPROBS],
        **fields,
    }


@pytest.mark.parametrize("dialect, told", [("openai_responses", 5), (None, 5), ("anthropic_messages", None)])
def test_extra_fields_go_to_upstreams_of_their_own_dialect(dialect: str | None, told: object) -> None:
    extra = {"top_k": Raw(b"5"), "model": Raw(b'"evil"'), "store": Raw(b"true"), "input": Raw(b"1")}
    body = sent(asking(extra=extra, dialect=dialect))
    assert body.get("top_k") == told
    assert (body["model"], body["store"], body["input"]) == ("up-1", False, [HELLO])


@pytest.mark.parametrize(
    "shape, expected",
    [
        (ResponseFormat(kind="text"), {"type": "text"}),
        (
            ResponseFormat(kind="json_schema", schema=Raw(b'{"a":1}'), strict=True, description="d"),
            {"type": "json_schema", "name": "answer", "schema": {"a": 1}, "strict": True, "description": "d"},
        ),
    ],
)
def test_the_shape_of_the_answer_is_asked_for(shape: ResponseFormat, expected: object) -> None:
    assert sent(asking(response_format=shape))["text"] == {"format": expected}


def test_stop_sequences_are_refused_as_the_dialect_has_none() -> None:
    with pytest.raises(UpstreamInvalid, match="stop sequences"):
        sent(asking(stop=("END",)))


def test_a_word_of_chats_that_is_none_is_the_clients_mistake() -> None:
    with pytest.raises(LocalWireError) as refused:
        sent(from_chat(verbosity="loud"))
    assert refused.value.param == "verbosity"


def comparable(request: GenerationRequest) -> GenerationRequest:
    """A request without what is not sent on, and what is added."""
    messages = [
        msgspec.structs.replace(message, content=tuple(block for block in message.content if stays(block)))
        for message in request.messages
    ]
    extra = {
        name: json.loads(bytes(value)) for name, value in (request.extra or {}).items() if name != "include"
    }
    kept: tuple[Message, ...] = tuple(message for message in messages if message.content)
    return msgspec.structs.replace(
        request, messages=kept, extra={name: Raw(json.dumps(extra[name]).encode()) for name in sorted(extra)}
    )


def stays(block: object) -> bool:
    """A mere summary is of no use to the model."""
    return not isinstance(block, ThinkingBlock) or bool(block.signature)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: one.id)
def test_a_recorded_request_is_asked_again_as_it_was(exchange: Exchange) -> None:
    asked = decode_request(exchange.sent)
    body = encode_request(asked.request, upstream_name=asked.request.model, traits=PLAIN, stream=asked.stream)
    again = decode_request(body)
    assert comparable(again.request) == comparable(asked.request)
    assert again.stream == asked.stream


def test_the_sample_has_encrypted_reasoning_that_is_sent_again() -> None:
    exchange = next(one for one in EXCHANGES if one.id == "Arize-ai+openinference/openai.responses/9")
    asked = decode_request(exchange.sent).request
    thoughts = [
        block
        for message in asked.messages
        for block in message.content
        if isinstance(block, ThinkingBlock | RedactedThinkingBlock)
    ]
    assert thoughts
    (before,) = [item for item in json.loads(exchange.sent)["input"] if item.get("type") == "reasoning"]
    (after,) = [item for item in sent(asked)["input"] if item["type"] == "reasoning"]
    assert (after["id"], after["encrypted_content"]) == (before["id"], before["encrypted_content"])
