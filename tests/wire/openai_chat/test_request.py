"""Requests: read as a server, written as a client."""

import msgspec
import pytest
from msgspec import Raw

from callboard.domain.block import TextBlock, ThinkingBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message, user_text
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import LocalWireError
from callboard.wire.json import STEP_BYTES
from callboard.wire.openai_chat.request import ChatRequest, decode_request, decoding, encode_request, encoding

PLAIN = ModelTraits()
REASONING = ModelTraits(reasoning=True)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HELLO = {"role": "user", "content": "hello"}


def received(**fields: object) -> ChatRequest:
    return decode_request(msgspec.json.encode({"model": "m", "messages": [HELLO], **fields}))


def sent(
    request: GenerationRequest, traits: ModelTraits = PLAIN, *, stream: bool = False
) -> dict[str, object]:
    body = encode_request(request, upstream_name="up-1", traits=traits, stream=stream)
    return msgspec.json.decode(body, type=dict[str, object])


def asking(**fields: object) -> GenerationRequest:
    return msgspec.structs.replace(GenerationRequest(model="m", messages=(user_text("hello"),)), **fields)


# --- as a server


def test_every_interpreted_field_finds_its_place() -> None:
    chat = received(
        stream=True,
        stream_options={"include_usage": True},
        n=2,
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
            }
        ],
        tool_choice="required",
        parallel_tool_calls=False,
        max_completion_tokens=10,
        temperature=0.5,
        top_p=0.9,
        stop=["a", "b"],
        seed=7,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"a": 1}, "strict": True},
        },
        reasoning_effort="low",
        user="u",
    )
    assert (chat.stream, chat.include_usage, chat.n) == (True, True, 2)
    assert chat.request == GenerationRequest(
        model="m",
        messages=(user_text("hello"),),
        tools=(
            ToolDefinition(
                name="f", description="d", input_schema=Raw(msgspec.json.encode(SCHEMA)), strict=True
            ),
        ),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        max_output_tokens=10,
        temperature=0.5,
        top_p=0.9,
        stop=("a", "b"),
        seed=7,
        response_format=ResponseFormat(kind="json_schema", name="s", schema=Raw(b'{"a":1}'), strict=True),
        reasoning_effort="low",
        user="u",
        dialect="openai_chat",
    )


def test_what_is_not_interpreted_is_kept() -> None:
    extra = received(
        metadata={"a": "b"}, logit_bias={"50256": -100}, service_tier=None, top_k=5
    ).request.extra
    assert extra == {"metadata": Raw(b'{"a":"b"}'), "logit_bias": Raw(b'{"50256":-100}'), "top_k": Raw(b"5")}


def test_nulls_and_old_names_are_understood() -> None:
    chat = received(max_tokens=5, stop="x", stream=None, n=None, tools=None, stream_options=None)
    assert (chat.request.max_output_tokens, chat.request.stop) == (5, ("x",))
    assert (chat.stream, chat.include_usage, chat.n, chat.request.extra) == (False, False, 1, None)


def test_usage_is_not_asked_for_without_a_stream() -> None:
    assert not received(stream_options={"include_usage": True}).include_usage


@pytest.mark.parametrize(
    "field, value, expected",
    [
        ("tool_choice", "none", ToolChoice(mode="none")),
        ("tool_choice", "auto", ToolChoice(mode="auto")),
        ("tool_choice", "any", ToolChoice(mode="required")),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}, ToolChoice(mode="tool", name="f")),
        ("function_call", "auto", ToolChoice(mode="auto")),
        ("function_call", {"name": "f"}, ToolChoice(mode="tool", name="f")),
        ("tool_choice", None, None),
    ],
)
def test_a_tool_choice_is_read_in_each_form(field: str, value: object, expected: ToolChoice | None) -> None:
    assert received(functions=[{"name": "f"}], **{field: value}).request.tool_choice == expected


def test_a_tool_choice_we_do_not_know_is_passed_on() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    request = received(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice=choice).request
    assert request.tool_choice is None
    assert sent(request)["tool_choice"] == choice


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"messages": []}, "messages"),
        ({"messages": [HELLO, {"role": "user", "content": 3}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "boss", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "", "function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0]",
        ),
        ({"model": ""}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"tools": [{"type": "custom", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_mistake_is_refused_with_its_place(fields: dict[str, object], param: str) -> None:
    with pytest.raises(LocalWireError) as refused:
        received(**fields)
    assert refused.value.param == param


# --- as a client


def test_a_basic_request_says_no_more_than_it_must() -> None:
    assert sent(asking(temperature=0.7, max_output_tokens=100)) == {
        "model": "up-1",
        "messages": [HELLO],
        "temperature": 0.7,
        "max_tokens": 100,
    }


def test_a_streamed_request_asks_for_the_usage() -> None:
    assert sent(asking(), stream=True)["stream_options"] == {"include_usage": True}
    assert "stream" not in sent(asking())


def test_a_request_with_tools_names_them_as_functions() -> None:
    tool = ToolDefinition(name="f", description="d", input_schema=Raw(msgspec.json.encode(SCHEMA)))
    body = sent(
        asking(tools=(tool,), tool_choice=ToolChoice(mode="tool", name="f"), parallel_tool_calls=True)
    )
    function = {"name": "f", "description": "d", "parameters": SCHEMA}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is True


@pytest.mark.parametrize("mode", ["none", "auto", "required"])
def test_a_mode_of_choice_is_a_word(mode: str) -> None:
    body = sent(
        msgspec.structs.replace(
            asking(tools=(ToolDefinition(name="f"),)), tool_choice=msgspec.convert({"mode": mode}, ToolChoice)
        )
    )
    assert body["tool_choice"] == mode


@pytest.mark.parametrize("traits", [PLAIN, ModelTraits(tools=False)])
def test_without_tools_nothing_is_said_of_them(traits: ModelTraits) -> None:
    tools = () if traits.tools else (ToolDefinition(name="f"),)
    body = sent(asking(tools=tools, tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=True), traits)
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_a_reasoning_model_gets_its_own_parameters() -> None:
    body = sent(
        asking(
            system=(TextBlock(text="be brief"),),
            max_output_tokens=100,
            temperature=0.7,
            top_p=0.5,
            reasoning_effort="high",
            extra={"logprobs": Raw(b"true"), "presence_penalty": Raw(b"1"), "store": Raw(b"true")},
        ),
        REASONING,
    )
    assert body == {
        "model": "up-1",
        "messages": [{"role": "developer", "content": "be brief"}, HELLO],
        "max_completion_tokens": 100,
        "reasoning_effort": "high",
        "store": True,
    }


@pytest.mark.parametrize(
    "dialect, told", [("openai_chat", True), (None, True), ("anthropic_messages", False)]
)
def test_extra_fields_go_to_upstreams_of_their_own_dialect(dialect: str | None, told: bool) -> None:
    body = sent(asking(extra={"top_k": Raw(b"5"), "model": Raw(b'"evil"')}, dialect=dialect))
    assert body.get("top_k") == (5 if told else None)
    assert body["model"] == "up-1"


@pytest.mark.parametrize(
    "shape, expected",
    [
        (ResponseFormat(kind="json_object"), {"type": "json_object"}),
        (
            ResponseFormat(kind="json_schema", name="s", schema=Raw(b'{"a":1}'), strict=True),
            {"type": "json_schema", "json_schema": {"name": "s", "schema": {"a": 1}, "strict": True}},
        ),
    ],
)
def test_the_shape_of_the_answer_is_asked_for(shape: ResponseFormat, expected: object) -> None:
    assert sent(asking(response_format=shape))["response_format"] == expected


def test_a_message_of_nothing_but_thinking_is_left_out() -> None:
    thought = Message(role="assistant", content=(ThinkingBlock(thinking="hm", signature="s"),))
    assert sent(asking(messages=(user_text("hello"), thought)))["messages"] == [HELLO]


def test_everything_that_was_asked_is_asked_again() -> None:
    chat = received(
        tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        tool_choice="auto",
        parallel_tool_calls=True,
        max_tokens=9,
        temperature=0,
        top_p=1,
        stop=["x"],
        seed=0,
        response_format={"type": "text"},
        user="u",
        metadata={"k": "v"},
        vendor={"a": [1, 2]},
    )
    body = encode_request(chat.request, upstream_name="m", traits=PLAIN, stream=False)
    assert decode_request(body) == chat


PADDING = "x" * STEP_BYTES
"""Makes a request so large that it is decoded message by message."""

PARTS = [{"type": "text", "text": str(number), "more": number} for number in range(3_000)]
CONVERSATION = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": PARTS, "name": "bob"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, *PARTS]},
    {"role": "user", "content": "go", "vendor": {"a": 1}},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "42"},
]


def test_a_large_request_says_the_same_as_a_small_one() -> None:
    tools = [{"type": "function", "function": {"name": "f"}, "vendor": 1}]
    small = [received(messages=[message], tools=tools).request.messages for message in CONVERSATION[1:3]]
    large = received(messages=CONVERSATION, tools=tools, padding=PADDING).request
    assert large.messages[:2] == (*small[0], *small[1])
    rest = received(messages=CONVERSATION[3:], tools=tools, padding="").request
    assert large.messages[2:] == rest.messages
    assert large.system == (TextBlock(text="be brief"),)
    assert large.tools == rest.tools
    assert large.extra is not None
    assert set(large.extra) == {"padding"}


@pytest.mark.parametrize(
    "message, param",
    [
        ({"role": "user", "content": 7}, "messages[1].content"),
        ({"role": "user", "content": ""}, None),
        ({"role": "user", "content": []}, "messages[1].content"),
        ({"role": "nobody", "content": "x"}, "messages[1].role"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
        (7, "messages[1]"),
    ],
)
def test_an_error_has_the_same_place_in_a_large_request(message: object, param: str | None) -> None:
    for padding in ("", PADDING):
        if param is None:
            received(messages=[HELLO, message], padding=padding)
            continue
        with pytest.raises(LocalWireError) as refused:
            received(messages=[HELLO, message], padding=padding)
        assert refused.value.param == param


def test_a_long_conversation_is_decoded_and_encoded_in_steps() -> None:
    body = msgspec.json.encode(
        {"model": "m", "messages": [HELLO, {"role": "assistant", "content": "a"}] * 9_000}
    )
    assert len(list(decoding(body))) > len(body) // STEP_BYTES
    request = decode_request(body).request
    assert len(list(encoding(request, upstream_name="m", traits=PLAIN, stream=False))) >= 18
    assert list(encoding(asking(), upstream_name="m", traits=PLAIN, stream=False)) == []
