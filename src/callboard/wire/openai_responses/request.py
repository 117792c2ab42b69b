"""Requests, as a server decodes them.

Fields with a place in `GenerationRequest` go there; those without are kept in its ``extra``, for an upstream
of the same dialect. What the answer repeats of its request is an `Echo`. `callboard.wire.json.check` comes
first: it bounds what is decoded here.

Source: OpenAI API reference, "Create a model response"; Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import TextBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import InvalidRequest, NotFound
from callboard.wire.json import STEP_BYTES, decode, refusal
from callboard.wire.openai_responses.incoming import Conversation
from callboard.wire.openai_responses.response import on_a_line
from callboard.wire.openai_responses.schema import (
    NULL,
    ChoiceObject,
    CreateResponse,
    Echo,
    Format,
    FunctionTool,
    ReasoningConfig,
    TextConfig,
    ToolKind,
)

DIALECT = "openai_responses"

_HAS_A_PLACE = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "previous_response_id",
        "background",
        "store",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "user",
    }
)


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    """A request as its server sees it: what to generate, and how to answer."""

    request: GenerationRequest
    echo: Echo
    stream: bool = False
    store: bool = True
    background: bool = False
    previous_response_id: str | None = None


_REQUEST = msgspec.json.Decoder(CreateResponse)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_TOOL_KIND = msgspec.json.Decoder(ToolKind)
_TOOL = msgspec.json.Decoder(FunctionTool)


def decode_request(body: bytes) -> ResponsesRequest:
    """What a client sent.

    Raises:
        LocalWireError: It breaks JSON or the dialect; ``param`` names the field, e.g. ``input[1].content``.
        InvalidRequest: It asks for what we do not do.
        NotFound: It refers to what we do not keep.
    """
    return at_once(decoding(body))


def decoding(body: bytes) -> Steps[ResponsesRequest]:
    """`decode_request` in steps; raises what it raises."""
    wire = decode(body, _REQUEST.decode, side="local")
    _refuse_what_we_lack(wire)
    if len(body) > STEP_BYTES:
        yield
    conversation = yield from _conversation(wire)
    messages = yield from conversation.making_messages()
    fields = _FIELDS.decode(body)
    tools = _tools(wire)
    text = wire.text or TextConfig()
    reasoning = wire.reasoning or ReasoningConfig()
    request = GenerationRequest(
        model=wire.model,
        messages=messages,
        system=tuple(conversation.system),
        tools=_offered(tools, wire.tool_choice),
        tool_choice=_choice(wire.tool_choice),
        parallel_tool_calls=wire.parallel_tool_calls,
        max_output_tokens=wire.max_output_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        response_format=_format(text.format),
        reasoning_effort=reasoning.effort,
        user=wire.user,
        dialect=DIALECT,
        extra={
            name: value.copy() for name, value in fields.items() if name not in _HAS_A_PLACE and value != NULL
        }
        or None,
    )
    return ResponsesRequest(
        request=request,
        echo=_echo(wire, tools, fields.get("tool_choice", NULL)),
        stream=bool(wire.stream),
        store=wire.store is not False,
        background=bool(wire.background),
        previous_response_id=wire.previous_response_id,
    )


def _refuse_what_we_lack(wire: CreateResponse) -> None:
    if wire.background and wire.store is False:
        raise InvalidRequest(
            "A response in the background has to be stored.", param="background", code="unsupported_value"
        )
    if wire.prompt != NULL:
        raise InvalidRequest("There are no prompt templates.", param="prompt", code="unsupported_value")
    if wire.conversation != NULL:
        raise NotFound("There is no such conversation: conversations are not kept.")


def _conversation(wire: CreateResponse) -> Steps[Conversation]:
    conversation = Conversation()
    if wire.instructions:
        conversation.system.append(TextBlock(text=wire.instructions))
    if isinstance(wire.input, str):
        conversation.say(wire.input)
    else:
        for index, item in enumerate(wire.input):
            yield from conversation.adding(item, f"input[{index}]")
            if (index + 1) % IN_A_STEP == 0:
                yield
    if not (conversation.says_something or conversation.system or wire.previous_response_id):
        raise refusal("it holds nothing for the model", "local", param="input")
    return conversation


def _tools(wire: CreateResponse) -> tuple[FunctionTool, ...]:
    """The functions among the tools."""
    found: list[FunctionTool] = []
    for index, tool in enumerate(wire.tools or ()):
        at = f"tools[{index}]"
        if decode(tool, _TOOL_KIND.decode, side="local", at=at).type == "function":
            found.append(decode(tool, _TOOL.decode, side="local", at=at))
    return tuple(found)


def _offered(
    tools: tuple[FunctionTool, ...], choice: str | ChoiceObject | None
) -> tuple[ToolDefinition, ...]:
    """The tools as the model is told of them.

    "Servers MUST enforce `allowed_tools` as a hard constraint": a tool that the model does not know of cannot
    be called.
    """
    allowed: frozenset[str | None] | None = None
    if isinstance(choice, ChoiceObject) and choice.type == "allowed_tools":
        allowed = frozenset(tool.name for tool in choice.tools if tool.type == "function")
    return tuple(_definition(tool) for tool in tools if allowed is None or tool.name in allowed)


def _definition(tool: FunctionTool) -> ToolDefinition:
    definition = ToolDefinition(name=tool.name, description=tool.description or "", strict=tool.strict)
    if tool.parameters == NULL:
        return definition
    return msgspec.structs.replace(definition, input_schema=tool.parameters.copy())


def _choice(choice: str | ChoiceObject | None) -> ToolChoice | None:
    match choice:
        case "none" | "auto" | "required":
            return ToolChoice(mode=choice)
        case ChoiceObject(type="function"):
            if not choice.name:
                where = "tool_choice.name"
                raise refusal(
                    "it must name a function", "local", param=where, code="missing_required_parameter"
                )
            return ToolChoice(mode="tool", name=choice.name)
        case ChoiceObject(type="allowed_tools"):
            return ToolChoice(mode=choice.mode)
        case _:  # a tool that is not offered cannot be forced
            return None


def _format(wire: Format | None) -> ResponseFormat | None:
    if wire is None:
        return None
    if wire.type != "json_schema":
        return ResponseFormat(kind=wire.type)
    for name, missing in (("name", not wire.name), ("schema", wire.schema == NULL)):
        if missing:
            where = f"text.format.{name}"
            raise refusal("it is required here", "local", param=where, code="missing_required_parameter")
    return ResponseFormat(
        kind="json_schema",
        name=wire.name,
        description=wire.description,
        schema=wire.schema.copy(),
        strict=wire.strict,
    )


def _echo(wire: CreateResponse, tools: tuple[FunctionTool, ...], tool_choice: Raw) -> Echo:
    plain = Echo(model=wire.model)
    text = wire.text or TextConfig()
    shape = text.format or Format(type="text")
    return Echo(
        model=wire.model,
        frequency_penalty=_or(wire.frequency_penalty, plain.frequency_penalty),
        instructions=wire.instructions,
        max_output_tokens=wire.max_output_tokens,
        metadata=wire.metadata or {},
        parallel_tool_calls=wire.parallel_tool_calls is not False,
        presence_penalty=_or(wire.presence_penalty, plain.presence_penalty),
        previous_response_id=wire.previous_response_id,
        prompt_cache_key=wire.prompt_cache_key,
        reasoning=wire.reasoning or plain.reasoning,
        safety_identifier=wire.safety_identifier,
        store=wire.store is not False,
        background=bool(wire.background),
        service_tier=wire.service_tier or plain.service_tier,
        temperature=_or(wire.temperature, plain.temperature),
        text=TextConfig(
            format=msgspec.structs.replace(shape, schema=on_a_line(shape.schema)), verbosity=text.verbosity
        ),
        tool_choice=on_a_line(tool_choice) if tool_choice != NULL else plain.tool_choice,
        tools=tuple(msgspec.structs.replace(tool, parameters=on_a_line(tool.parameters)) for tool in tools),
        top_logprobs=wire.top_logprobs or 0,
        top_p=_or(wire.top_p, plain.top_p),
        truncation=wire.truncation or plain.truncation,
        user=wire.user,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
