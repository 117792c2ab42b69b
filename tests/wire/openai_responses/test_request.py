"""Requests: what is to be generated, and what the answer repeats."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Raw

from callboard.domain.block import TextBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import user_text
from callboard.domain.steps import at_once
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import CallboardError, InvalidRequest, LocalWireError, NotFound
from callboard.wire.json import check
from callboard.wire.openai_responses.request import ResponsesRequest, decode_request, decoding
from tests.wire.openai_chat.recorded import Exchange
from tests.wire.openai_responses.recorded import STREAMS

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
RAW_SCHEMA = Raw(json.dumps(SCHEMA).encode())
F = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
G = {"type": "function", "name": "g"}


def received(**fields: object) -> ResponsesRequest:
    return decode_request(json.dumps({"model": "m", "input": "hello", **fields}).encode())


def echoed(**fields: object) -> dict[str, object]:
    echo = json.loads(msgspec.json.encode(received(**fields).echo))
    assert isinstance(echo, dict)
    return echo


def test_a_string_is_one_message_of_the_users() -> None:
    assert received() == ResponsesRequest(
        request=GenerationRequest(model="m", messages=(user_text("hello"),), dialect="openai_responses"),
        items=(user_text("hello"),),
        echo=received().echo,
    )


def test_a_turn_that_follows_another_may_say_nothing_new() -> None:
    for named in ("previous_response_id", "conversation"):
        assert received(input=None, **{named: "id_1"}).request.messages == ()


def test_each_field_with_a_place_in_the_domain_goes_there() -> None:
    asked = received(
        input=[{"role": "user", "content": "hello"}, {"role": "developer", "content": "be kind"}],
        instructions="be brief",
        stream=True,
        previous_response_id="resp_1",
        store=True,
        background=False,
        tools=[F, G],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=9,
        temperature=0,
        top_p=1,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_object"}},
        user="u",
    )
    assert (asked.stream, asked.previous_response_id) == (True, "resp_1")
    assert msgspec.structs.replace(asked.request, extra=None) == GenerationRequest(
        model="m",
        messages=(user_text("hello"),),
        system=(TextBlock(text="be brief"), TextBlock(text="be kind")),
        tools=(
            ToolDefinition(name="f", description="d", input_schema=RAW_SCHEMA, strict=True),
            ToolDefinition(name="g"),
        ),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        max_output_tokens=9,
        temperature=0,
        top_p=1,
        response_format=ResponseFormat(kind="json_object"),
        reasoning_effort="low",
        user="u",
        dialect="openai_responses",
    )


def test_fields_without_a_place_are_kept_for_upstreams_of_the_dialect() -> None:
    extra = received(
        include=["reasoning.encrypted_content"], client_metadata={"a": 1}, store=False
    ).request.extra
    assert extra == {"include": Raw(b'["reasoning.encrypted_content"]'), "client_metadata": Raw(b'{"a": 1}')}


def test_null_is_as_good_as_nothing() -> None:
    names = set(msgspec.json.decode(msgspec.json.encode(received().echo))) - {"model", "object"}
    nulls = dict.fromkeys([*names, "stream", "include", "conversation", "prompt", "client_metadata"])
    assert received(**nulls) == received()


@pytest.mark.parametrize(
    "choice, expected, offered",
    [
        ("none", ToolChoice(mode="none"), ["f", "g"]),
        ("auto", ToolChoice(mode="auto"), ["f", "g"]),
        ("required", ToolChoice(mode="required"), ["f", "g"]),
        ({"type": "function", "name": "f"}, ToolChoice(mode="tool", name="f"), ["f", "g"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            ToolChoice(mode="required"),
            ["g"],
        ),
        (
            {"type": "allowed_tools", "tools": [{"type": "mcp", "server_label": "f"}, {"type": "image"}]},
            ToolChoice(mode="auto"),
            [],
        ),
        ({"type": "web_search"}, None, ["f", "g"]),
        (None, None, ["f", "g"]),
    ],
)
def test_a_tool_choice_is_read_in_each_form(
    choice: object, expected: ToolChoice | None, offered: list[str]
) -> None:
    request = received(tools=[F, G], tool_choice=choice).request
    assert request.tool_choice == expected
    assert [tool.name for tool in request.tools] == offered
    echo = echoed(tools=[F, G], tool_choice=choice)
    assert echo["tool_choice"] == (choice or "auto")
    assert isinstance(echo["tools"], list)
    assert len(echo["tools"]) == 2


def test_tools_of_other_types_are_repeated_and_kept_for_upstreams_of_the_dialect() -> None:
    others: list[dict[str, object]] = [
        {"type": "web_search"},
        {"type": "namespace", "name": "n", "tools": [3]},
    ]
    tools = [others[0], F, others[1]]
    request = received(tools=tools, tool_choice=others[0], max_tool_calls=3).request
    assert [tool.name for tool in request.tools] == ["f"]
    assert request.tool_choice is None
    kept = {name: json.loads(bytes(value)) for name, value in (request.extra or {}).items()}
    assert kept == {"tools": others, "tool_choice": others[0], "max_tool_calls": 3}
    assert echoed(tools=tools)["tools"] == tools


def test_tools_of_other_types_are_not_kept_where_but_some_functions_are_allowed() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    assert received(tools=[{"type": "web_search"}, F], tool_choice=choice).request.extra is None


def test_the_shape_of_the_answer_is_read_and_repeated() -> None:
    shape = {"type": "json_schema", "name": "s", "description": "d", "schema": SCHEMA, "strict": True}
    asked = received(text={"format": shape, "verbosity": "low"})
    assert asked.request.response_format == ResponseFormat(
        kind="json_schema", name="s", description="d", schema=RAW_SCHEMA, strict=True
    )
    assert echoed(text={"format": shape, "verbosity": "low"})["text"] == {"format": shape, "verbosity": "low"}


def test_what_was_not_asked_is_repeated_with_its_default() -> None:
    assert echoed() == {
        "model": "m",
        "background": False,
        "frequency_penalty": 0.0,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }


@pytest.mark.parametrize(
    "field, value",
    [
        ("frequency_penalty", -1.0),
        ("instructions", "be brief"),
        ("max_output_tokens", 9),
        ("max_tool_calls", 3),
        ("metadata", {"a": "b"}),
        ("parallel_tool_calls", False),
        ("presence_penalty", 1.0),
        ("previous_response_id", "resp_1"),
        ("prompt_cache_key", "k"),
        ("reasoning", {"effort": "low", "summary": "auto"}),
        ("safety_identifier", "s"),
        ("service_tier", "flex"),
        ("store", False),
        ("background", True),
        ("temperature", 0.0),
        ("top_logprobs", 3),
        ("top_p", 0.0),
        ("truncation", "auto"),
        ("user", "u"),
    ],
)
def test_what_was_asked_is_repeated(field: str, value: object) -> None:
    assert echoed(**{field: value}) == {**echoed(), field: value}


@pytest.mark.parametrize("field, value", [("store", None), ("background", None)])
def test_what_is_not_in_force_is_not_claimed(field: str, value: object) -> None:
    assert echoed(**{field: value}) == echoed()


def test_what_is_repeated_fits_on_one_line() -> None:
    fields = {"model": "m", "input": "hello", "tools": [F], "tool_choice": {"type": "function", "name": "f"}}
    fields["text"] = {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}
    echo = msgspec.json.encode(decode_request(json.dumps(fields, indent=2).encode()).echo)
    assert b"\n" not in echo
    assert json.loads(echo)["tools"] == [F]


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"truncation": "some"}, "truncation"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"metadata": dict.fromkeys(map(str, range(17)), "")}, "metadata"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [F, {"type": "function"}]}, "tools[1].name"),
        ({"tools": [{"type": "function", "name": "f", "strict": "yes"}]}, "tools[0].strict"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "s"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "text.format.name"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_mistake_is_refused_with_its_place(fields: dict[str, object], param: str) -> None:
    with pytest.raises(LocalWireError) as refused:
        received(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields, kind, code",
    [
        ({"background": True, "store": False}, InvalidRequest, "unsupported_value"),
        ({"prompt": {"id": "p"}}, InvalidRequest, "unsupported_value"),
        (
            {"conversation": "conv_1", "previous_response_id": "resp_1"},
            InvalidRequest,
            "mutually_exclusive_parameters",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, NotFound, None),
    ],
)
def test_what_we_do_not_do_is_refused(
    fields: dict[str, object], kind: type[CallboardError], code: str | None
) -> None:
    with pytest.raises(kind) as refused:
        received(**fields)
    assert getattr(refused.value, "code", None) == code


@pytest.mark.parametrize("named", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_is_named_in_either_way(named: object) -> None:
    assert received(conversation=named).conversation_id == "conv_1"
    assert echoed(conversation=named)["conversation"] == {"id": "conv_1"}


def test_what_is_only_measured_needs_neither_a_model_nor_any_input() -> None:
    counted = at_once(decoding(b"{}", counted=True))
    assert (counted.request.model, counted.request.messages) == ("", ())


def test_items_that_are_kept_stand_in_the_place_of_their_references() -> None:
    kept = {"msg_1": Raw(b'{"type":"message","role":"user","content":"hello"}')}
    body = {"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]}
    asked = at_once(decoding(json.dumps(body).encode(), kept=kept))
    assert asked.request.messages == (user_text("hello"),)


@pytest.mark.parametrize("exchange", STREAMS, ids=lambda exchange: exchange.id)
def test_what_clients_really_send_is_understood(exchange: Exchange) -> None:
    check(exchange.sent)
    asked = decode_request(exchange.sent)
    assert asked.stream
    assert asked.request.messages
