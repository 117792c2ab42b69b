"""Requests, as a client encodes them for an upstream of the dialect.

What a client of ours said in another dialect is said in this one where it has a word for it: chat's
``verbosity``, ``logprobs`` and ``allowed_tools`` among them. A seed is a wish, and is dropped; stop sequences
are not, and are refused, because an answer that goes on behind one is not the answer that was asked for.

Source: OpenAI API reference, "Create a model response"; OpenAI guide "Migrate to the Responses API".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import Extra
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.model import ModelTraits
from callboard.domain.steps import Steps, at_once
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import UpstreamInvalid
from callboard.wire.json import decode
from callboard.wire.openai_chat.request import DIALECT as CHAT
from callboard.wire.openai_responses.outgoing import encoding_items, system_items
from callboard.wire.openai_responses.request import DIALECT
from callboard.wire.openai_responses.schema import NULL, Format, TextConfig
from callboard.wire.openai_responses.upstream_schema import (
    AllowedTools,
    NamedFunction,
    SentRequest,
    SentTool,
)

ENCRYPTED_REASONING = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

_OURS = frozenset(SentRequest.__struct_fields__) | {"previous_response_id", "conversation", "background"}
"""Fields that are never passed on as they came."""

_OF_CHAT_TOO = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"}
)
"""Fields that mean the same in chat completions."""

_NOT_FOR_REASONING = frozenset({"frequency_penalty", "presence_penalty"})


class _Verbosity(Struct):
    verbosity: Literal["low", "medium", "high"] | None = None


class _Spoken(Struct):
    """What the client's dialect had to say that this one says elsewhere or otherwise."""

    text: _Verbosity | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    reasoning: dict[str, Raw] | None = None
    include: tuple[str, ...] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tool_choice: Raw = NULL


class _ChatAllowed(Struct):
    mode: Literal["auto", "required"] = "auto"
    tools: tuple[_ChatTool, ...] = ()


class _ChatTool(Struct):
    function: _ChatFunction | None = None


class _ChatFunction(Struct):
    name: str = ""


class _ChatChoice(Struct):
    type: str = ""
    allowed_tools: _ChatAllowed | None = None


_SPOKEN = msgspec.json.Decoder(_Spoken)
_RAWS = msgspec.json.Decoder(tuple[Raw, ...])
_CHAT_CHOICE = msgspec.json.Decoder(_ChatChoice)


def encode_request(
    request: GenerationRequest, *, upstream_name: str, traits: ModelTraits, stream: bool
) -> bytes:
    """The body for an upstream, at once; see `encoding`."""
    return at_once(encoding(request, upstream_name=upstream_name, traits=traits, stream=stream))


def encoding(
    request: GenerationRequest, *, upstream_name: str, traits: ModelTraits, stream: bool
) -> Steps[bytes]:
    """The body, in steps, for an upstream that calls the model ``upstream_name``.

    Reasoning models refuse sampling parameters: they get neither temperature, ``top_p``, penalties nor log
    probabilities. They are asked for their reasoning in encrypted form, because nothing is stored that it
    could be looked up in. A model without tools is not told of any.

    Raises:
        UpstreamInvalid: It has stop sequences, which the dialect lacks.
        LocalWireError: A field of the client's that is to be told in other words breaks its own dialect.
    """
    if request.stop:
        message = "The model is served over the Responses API, which has no stop sequences."
        raise UpstreamInvalid(message, upstream_code="unsupported_parameter")
    extra = _understood(request)
    spoken = _spoken(extra)
    sampled = not traits.reasoning
    tools = _tools(request, extra) if traits.tools else ()
    reasoning = _reasoning(request, spoken)
    top_logprobs = spoken.top_logprobs if sampled else None
    wanted = [*(spoken.include or ())]
    if traits.reasoning or reasoning:
        wanted.append(ENCRYPTED_REASONING)
    if sampled and (spoken.logprobs or (top_logprobs and request.dialect == CHAT)):
        wanted.append(LOGPROBS)
    items = yield from encoding_items(request.messages)
    # There has to be some input, and the first instruction is as good as any.
    apart = 1 if request.system and items else 0
    body = SentRequest(
        model=upstream_name,
        input=(*system_items(request.system[apart:], traits), *items),
        store=False,
        instructions=request.system[0].text if apart else None,
        stream=True if stream else None,
        tools=tools or None,
        tool_choice=_tool_choice(request, spoken) if tools else None,
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature if sampled else None,
        top_p=request.top_p if sampled else None,
        text=_text(request.response_format, spoken),
        reasoning=reasoning,
        include=tuple(dict.fromkeys(wanted)) or None,
        top_logprobs=top_logprobs,
        user=request.user,
    )
    return _with_extra(body, extra, traits=traits, stream=stream)


def encode_tools(tools: Sequence[ToolDefinition], *, strict: bool | None = False) -> tuple[SentTool, ...]:
    """Tool definitions as functions.

    Args:
        tools: What the model may call.
        strict: Said of those that do not say it. "Functions in the Responses API are strict by default", and
            then what is optional in a schema is not; elsewhere they are not.
    """
    return tuple(
        SentTool(
            name=tool.name,
            description=tool.description or None,
            parameters=tool.input_schema,
            strict=strict if tool.strict is None else tool.strict,
        )
        for tool in tools
    )


def _understood(request: GenerationRequest) -> Extra:
    """The fields beside the known ones that this dialect may be told of."""
    if not request.extra:
        return {}
    if request.dialect in {None, DIALECT}:
        return request.extra
    if request.dialect != CHAT:
        return {}
    shared = _OF_CHAT_TOO | {"verbosity", "logprobs", "top_logprobs", "tool_choice"}
    return {name: value for name, value in request.extra.items() if name in shared}


def _spoken(extra: Extra) -> _Spoken:
    if not extra:
        return _Spoken()
    known = {name: value for name, value in extra.items() if name in _Spoken.__struct_fields__}
    return decode(msgspec.json.encode(known), _SPOKEN.decode, side="local")


def _strict(request: GenerationRequest) -> bool | None:
    return None if request.dialect == DIALECT else False


def _reasoning(request: GenerationRequest, spoken: _Spoken) -> dict[str, Raw] | None:
    fields = dict(spoken.reasoning or {})
    if request.reasoning_effort is not None:
        fields["effort"] = Raw(msgspec.json.encode(request.reasoning_effort))
    return fields or None


def _text(shape: ResponseFormat | None, spoken: _Spoken) -> TextConfig | None:
    verbosity = spoken.verbosity if spoken.text is None else spoken.text.verbosity
    if shape is None and verbosity is None:
        return None
    return TextConfig(format=None if shape is None else _format(shape), verbosity=verbosity)


def _format(shape: ResponseFormat) -> Format:
    if shape.kind != "json_schema":
        return Format(type=shape.kind)
    return Format(
        type="json_schema",
        name=shape.name or "answer",
        description=shape.description,
        schema=NULL if shape.schema is None else shape.schema,
        strict=shape.strict,
    )


def _tools(request: GenerationRequest, extra: Extra) -> tuple[SentTool | Raw, ...]:
    """Our functions and the client's, and those of its tools that only an upstream of the dialect can run."""
    others = extra.get("tools") if request.dialect == DIALECT else None
    functions = encode_tools(request.tools, strict=_strict(request))
    return functions if others is None else (*functions, *_RAWS.decode(others))


def _tool_choice(
    request: GenerationRequest, spoken: _Spoken
) -> str | NamedFunction | AllowedTools | Raw | None:
    match request.tool_choice:
        case ToolChoice(mode="tool") as choice:
            return NamedFunction(name=choice.name or "")
        case ToolChoice() as choice:
            return choice.mode
        case None if request.dialect == DIALECT:
            # One of the tools that only the upstream can run.
            return None if spoken.tool_choice == NULL else spoken.tool_choice
        case None:
            return _allowed(spoken.tool_choice)


def _allowed(raw: Raw) -> AllowedTools | None:
    """Chat's way to allow some of the tools, in this dialect's; all of them stay told of, and cached."""
    if raw == NULL:
        return None
    allowed = decode(raw, _CHAT_CHOICE.decode, side="local", at="tool_choice").allowed_tools
    if allowed is None:
        return None
    named = tuple(NamedFunction(name=tool.function.name) for tool in allowed.tools if tool.function)
    return AllowedTools(mode=allowed.mode, tools=named)


def _with_extra(body: SentRequest, extra: Extra, *, traits: ModelTraits, stream: bool) -> bytes:
    """The body, and what the client's dialect had beside it."""
    encoded = msgspec.json.encode(body)
    elsewhere = _OURS | {"verbosity", "logprobs"}
    passed_on = {
        name: value
        for name, value in extra.items()
        if name not in elsewhere
        if not (traits.reasoning and name in _NOT_FOR_REASONING)
        if stream or name != "stream_options"
    }
    return encoded[:-1] + b"," + msgspec.json.encode(passed_on)[1:] if passed_on else encoded
