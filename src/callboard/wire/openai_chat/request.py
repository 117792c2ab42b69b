"""Requests, both ways: as a server we decode them, as a client we encode them.

Fields with a place in `GenerationRequest` go there; all others are kept in its ``extra`` and passed on when
the request goes to an upstream of the same dialect. `callboard.wire.json.check` comes first: it bounds what
is decoded here.

Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from callboard.domain.block import Extra
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.model import ModelTraits
from callboard.domain.steps import Steps, at_once
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.wire.json import STEP_BYTES, decode, refusal
from callboard.wire.openai_chat.from_responses import RESPONSES, in_chat
from callboard.wire.openai_chat.incoming import Conversation, Fields
from callboard.wire.openai_chat.outgoing import encode_messages, encoding_messages, system_messages
from callboard.wire.openai_chat.schema import (
    CHECKED_ONLY,
    NULL,
    ChatCompletionRequest,
    Format,
    FunctionDefinition,
    FunctionName,
    JsonSchemaFormat,
    NamedChoice,
    RequestFields,
    RequestMessage,
    StreamOptions,
    Tool,
)

__all__ = [
    "ChatRequest",
    "decode_request",
    "encode_messages",
    "encode_request",
    "encode_tools",
    "system_messages",
]

DIALECT = "openai_chat"

PORTION_BYTES = 32 * 1024
"""Messages of so many bytes together are taken in at once."""

_INTERPRETED = frozenset(ChatCompletionRequest.__struct_fields__) - CHECKED_ONLY
_NOT_FOR_REASONING = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty"}
)


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A request as its server sees it: what to generate, and how to answer.

    Attributes:
        include_usage: The client wants a chunk with the usage at the end of the stream.
        n: How many answers it wants; `request` describes one of them.
    """

    request: GenerationRequest
    stream: bool = False
    include_usage: bool = False
    n: int = 1


class _AllFields(Struct):
    messages: list[Fields]
    tools: list[Fields] | None = None


class _LongRequest(RequestFields, frozen=True, kw_only=True):
    messages: Annotated[tuple[Raw, ...], Meta(min_length=1)]


_REQUEST = msgspec.json.Decoder(ChatCompletionRequest)
_ALL_FIELDS = msgspec.json.Decoder(_AllFields)
_TOOLS = msgspec.json.Decoder(list[Fields])
_LONG = msgspec.json.Decoder(_LongRequest)
_MESSAGE: msgspec.json.Decoder[RequestMessage] = msgspec.json.Decoder(RequestMessage)
_FIELDS = msgspec.json.Decoder(Fields)


def decode_request(body: bytes) -> ChatRequest:
    """What a client sent.

    Raises:
        LocalWireError: It breaks JSON or the dialect; ``param`` names the field, e.g.
            ``messages[1].content``.
    """
    return at_once(decoding(body))


def decoding(body: bytes) -> Steps[ChatRequest]:
    """`decode_request` in steps; raises what it raises."""
    if len(body) > STEP_BYTES:
        return (yield from _decoding_in_portions(body))
    wire = decode(body, _REQUEST.decode, side="local")
    fields = decode(body, _ALL_FIELDS.decode, side="local")
    conversation = Conversation()
    for index, (message, message_fields) in enumerate(zip(wire.messages, fields.messages, strict=True)):
        conversation.add(message, message_fields, index)
    conversation.flush()
    return _request(_FIELDS.decode(body), wire, fields.tools or (), conversation)


def _decoding_in_portions(body: bytes) -> Steps[ChatRequest]:
    """The same message by message, which costs a little more and can be interrupted."""
    yield  # whoever calls may have read it once already, and each time takes long
    wire = decode(body, _LONG.decode, side="local")
    yield
    top = _FIELDS.decode(body)
    tools = _TOOLS.decode(top["tools"]) if wire.tools else []
    yield
    conversation = Conversation()
    taken = 0
    for index, raw in enumerate(wire.messages):
        message = decode(raw, _MESSAGE.decode, side="local", at=f"messages[{index}]")
        size = memoryview(raw).nbytes
        taken += size
        if taken > PORTION_BYTES:
            yield
            taken = 0
        fields = _FIELDS.decode(raw)
        if size > PORTION_BYTES:
            yield from conversation.adding(message, fields, index)
        else:
            conversation.add(message, fields, index)
    yield
    conversation.flush()
    return _request(top, wire, tools, conversation)


def encode_request(
    request: GenerationRequest, *, upstream_name: str, traits: ModelTraits, stream: bool
) -> bytes:
    """The body for an upstream, at once; see `encoding`."""
    return at_once(encoding(request, upstream_name=upstream_name, traits=traits, stream=stream))


def encoding(
    request: GenerationRequest, *, upstream_name: str, traits: ModelTraits, stream: bool
) -> Steps[bytes]:
    """The body, in steps, for an upstream that calls the model ``upstream_name``.

    Reasoning models refuse sampling parameters and ``max_tokens``: they get ``max_completion_tokens``, and
    neither temperature, ``top_p``, penalties nor log probabilities. A model without tools is not told of any.
    """
    tools = encode_tools(request.tools) if traits.tools else ()
    sampled = not traits.reasoning
    limit = request.max_output_tokens
    messages = yield from encoding_messages(request.messages)
    encoded = ChatCompletionRequest(
        model=upstream_name,
        messages=(*system_messages(request.system, traits), *messages),
        stream=True if stream else None,
        stream_options=StreamOptions(include_usage=True) if stream else None,
        tools=tools or None,
        tool_choice=_encode_tool_choice(request.tool_choice) if tools else None,
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        max_tokens=limit if sampled else None,
        max_completion_tokens=None if sampled else limit,
        temperature=request.temperature if sampled else None,
        top_p=request.top_p if sampled else None,
        stop=request.stop or None,
        seed=request.seed,
        response_format=_encode_format(request.response_format),
        reasoning_effort=request.reasoning_effort,
        user=request.user,
    )
    return _with_extra(encoded, request, traits)


def encode_tools(tools: Sequence[ToolDefinition]) -> tuple[Tool, ...]:
    """Tool definitions as functions."""
    return tuple(
        Tool(
            function=FunctionDefinition(
                name=tool.name,
                description=tool.description or None,
                parameters=tool.input_schema,
                strict=tool.strict,
            )
        )
        for tool in tools
    )


def _request(
    top: Fields, wire: RequestFields, tools: Sequence[Fields], conversation: Conversation
) -> ChatRequest:
    extra = {
        name: value.copy()
        for name, value in top.items()
        if (name not in _INTERPRETED or _is_other_choice(name, wire)) and value != NULL
    }
    request = GenerationRequest(
        model=wire.model,
        messages=tuple(conversation.messages),
        system=tuple(conversation.system),
        tools=_decode_tools(wire, tools),
        tool_choice=_decode_tool_choice(wire),
        parallel_tool_calls=wire.parallel_tool_calls,
        max_output_tokens=wire.max_completion_tokens or wire.max_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        stop=(wire.stop,) if isinstance(wire.stop, str) else wire.stop or (),
        seed=wire.seed,
        response_format=_decode_format(wire.response_format),
        reasoning_effort=wire.reasoning_effort,
        user=wire.user,
        dialect=DIALECT,
        extra=extra or None,
    )
    options = wire.stream_options
    return ChatRequest(
        request=request,
        stream=bool(wire.stream),
        include_usage=bool(wire.stream and options is not None and options.include_usage),
        n=wire.n or 1,
    )


def _decode_tools(wire: RequestFields, fields: Sequence[Fields]) -> tuple[ToolDefinition, ...]:
    known = ("type", "function")
    tools = [
        _decode_tool(tool.function, {name: raw for name, raw in every.items() if name not in known})
        for tool, every in zip(wire.tools or (), fields, strict=True)
    ]
    return (*tools, *(_decode_tool(function, {}) for function in wire.functions or ()))


def _decode_tool(function: FunctionDefinition, unknown: Extra) -> ToolDefinition:
    tool = ToolDefinition(
        name=function.name,
        description=function.description or "",
        strict=function.strict,
        extra={name: value.copy() for name, value in unknown.items()} or None,
    )
    if function.parameters == NULL:
        return tool
    return msgspec.structs.replace(tool, input_schema=function.parameters.copy())


def _decode_tool_choice(wire: RequestFields) -> ToolChoice | None:
    choice = wire.tool_choice if wire.tool_choice is not None else wire.function_call
    match choice:
        case "none" | "auto" | "required":
            return ToolChoice(mode=choice)
        case "any":  # Mistral's word
            return ToolChoice(mode="required")
        case FunctionName() | NamedChoice(function=FunctionName()):
            named = choice if isinstance(choice, FunctionName) else choice.function
            return ToolChoice(mode="tool", name=named.name if named else None)
        case NamedChoice(type="function"):
            message = "it must name a function"
            raise refusal(message, "local", param="tool_choice.function", code="missing_required_parameter")
        case _:
            return None


def _is_other_choice(name: str, wire: RequestFields) -> bool:
    """Whether the field is a tool choice that the domain does not know, such as ``allowed_tools``."""
    choice = wire.tool_choice
    return name == "tool_choice" and isinstance(choice, NamedChoice) and choice.function is None


def _encode_tool_choice(
    choice: ToolChoice | None,
) -> Literal["none", "auto", "required"] | NamedChoice | None:
    match choice:
        case None:
            return None
        case ToolChoice(mode="tool"):
            return NamedChoice(type="function", function=FunctionName(name=choice.name or ""))
        case ToolChoice(mode="none"):
            return "none"
        case ToolChoice(mode="auto"):
            return "auto"
        case _:
            return "required"


def _decode_format(wire: Format | None) -> ResponseFormat | None:
    if wire is None:
        return None
    if wire.type != "json_schema":
        return ResponseFormat(kind=wire.type)
    if wire.json_schema is None:
        where = "response_format.json_schema"
        raise refusal("it is required here", "local", param=where, code="missing_required_parameter")
    schema = wire.json_schema.schema
    return ResponseFormat(
        kind="json_schema",
        name=wire.json_schema.name,
        description=wire.json_schema.description,
        schema=None if schema == NULL else schema.copy(),
        strict=wire.json_schema.strict,
    )


def _encode_format(shape: ResponseFormat | None) -> Format | None:
    if shape is None or shape.kind != "json_schema":
        return None if shape is None else Format(type=shape.kind)
    schema = JsonSchemaFormat(
        name=shape.name or "answer",
        description=shape.description,
        schema=NULL if shape.schema is None else shape.schema,
        strict=shape.strict,
    )
    return Format(type="json_schema", json_schema=schema)


def _with_extra(encoded: ChatCompletionRequest, request: GenerationRequest, traits: ModelTraits) -> bytes:
    """The body, and what the client's dialect had beside it, if that was this one or can be said in it."""
    body = msgspec.json.encode(encoded)
    extra = request.extra
    if not extra or request.dialect not in {None, DIALECT, RESPONSES}:
        return body
    if request.dialect == RESPONSES:
        extra = in_chat(extra)
    passed_on = {
        name: value
        for name, value in extra.items()
        if (name == "tool_choice" and encoded.tools) or name not in _INTERPRETED
        if not (traits.reasoning and name in _NOT_FOR_REASONING)
    }
    return body[:-1] + b"," + msgspec.json.encode(passed_on)[1:] if passed_on else body
