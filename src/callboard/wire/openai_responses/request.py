"""Requests, as a server decodes them.

Fields with a place in `GenerationRequest` go there; those without are kept in its ``extra``, for an upstream
of the same dialect. What the answer repeats of its request is an `Echo`. `callboard.wire.json.check` comes
first: it bounds what is decoded here.

Source: OpenAI API reference, "Create a model response"; Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.domain.tools import McpChoice, RemoteServer, ToolChoice, ToolDefinition
from callboard.errors import InvalidRequest
from callboard.wire.json import STEP_BYTES, decode, refusal
from callboard.wire.openai_responses.incoming import NOTHING_KEPT, Conversation
from callboard.wire.openai_responses.mcp_tools import check_labels, chosen_server, without_secrets
from callboard.wire.openai_responses.response import on_a_line
from callboard.wire.openai_responses.schema import (
    NULL,
    ChoiceObject,
    ConversationRef,
    CountInput,
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
        "conversation",
        "max_tool_calls",
    }
)


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    """A request as its server sees it: what to generate, and how to answer.

    Attributes:
        items: Its input, item by item (`callboard.domain.item`).
        servers: MCP servers that it names: of ours, if there are such, and those of ``remote``.
        remote: Those that it names by their URLs.
    """

    request: GenerationRequest
    items: tuple[Message, ...]
    echo: Echo
    stream: bool = False
    store: bool = True
    background: bool = False
    previous_response_id: str | None = None
    conversation_id: str | None = None
    max_tool_calls: int | None = None
    servers: tuple[McpChoice, ...] = ()
    remote: tuple[RemoteServer, ...] = ()


_REQUEST = msgspec.json.Decoder(CreateResponse)
_COUNT = msgspec.json.Decoder(CountInput)
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


def decoding(
    body: bytes, *, kept: Mapping[str, Raw] = NOTHING_KEPT, counted: bool = False
) -> Steps[ResponsesRequest]:
    """`decode_request` in steps; raises what it raises.

    Args:
        body: What the client sent.
        kept: The items that it refers to, by their ids.
        counted: Whether it is only to be measured: then it needs neither a model nor any input.
    """
    wire = decode(body, (_COUNT if counted else _REQUEST).decode, side="local")
    conversation_id = _conversation_id(wire)
    _refuse_what_we_lack(wire)
    if len(body) > STEP_BYTES:
        yield
    conversation = yield from _conversation(wire, kept)
    # Instructions alone are enough where the client says in so many words that there is nothing else.
    instructed = bool(conversation.system) and wire.input is not None
    if not (counted or conversation.items or instructed or wire.previous_response_id or conversation_id):
        code = "missing_required_parameter" if wire.input is None else "invalid_value"
        raise refusal("it holds nothing for the model", "local", param="input", code=code)
    messages = yield from conversation.making_messages()
    fields = _FIELDS.decode(body)
    tools, others, servers = _tools(wire)
    text = wire.text or TextConfig()
    reasoning = wire.reasoning or ReasoningConfig()
    request = GenerationRequest(
        model=wire.model,
        messages=messages,
        system=tuple(conversation.system),
        tools=_offered(_functions(tools), wire.tool_choice),
        tool_choice=_choice(wire.tool_choice),
        parallel_tool_calls=wire.parallel_tool_calls,
        max_output_tokens=wire.max_output_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        response_format=_format(text.format),
        reasoning_effort=reasoning.effort,
        user=wire.user,
        dialect=DIALECT,
        extra=_beside(wire, fields, others) or None,
    )
    return ResponsesRequest(
        request=request,
        items=tuple(conversation.items),
        echo=_echo(wire, tools, fields.get("tool_choice", NULL)),
        stream=bool(wire.stream),
        store=wire.store is not False,
        background=bool(wire.background),
        previous_response_id=wire.previous_response_id,
        conversation_id=conversation_id,
        max_tool_calls=wire.max_tool_calls,
        servers=tuple(
            replace(each, listed=each.server in conversation.listed) for each in map(_choice_of, servers)
        ),
        remote=tuple(each for each in servers if isinstance(each, RemoteServer)),
    )


def _refuse_what_we_lack(wire: CreateResponse) -> None:
    if wire.background and wire.store is False:
        raise InvalidRequest(
            "A response in the background has to be stored.", param="background", code="unsupported_value"
        )
    if wire.prompt != NULL:
        raise InvalidRequest("There are no prompt templates.", param="prompt", code="unsupported_value")
    if wire.conversation is not None and wire.previous_response_id is not None:
        raise InvalidRequest(
            "A response stands in a conversation or follows another response, not both.",
            param="conversation",
            code="mutually_exclusive_parameters",
        )


def _conversation_id(wire: CreateResponse) -> str | None:
    named = wire.conversation
    return named.id if isinstance(named, ConversationRef) else named


def _conversation(wire: CreateResponse, kept: Mapping[str, Raw]) -> Steps[Conversation]:
    conversation = Conversation(kept)
    if wire.instructions:
        conversation.system.append(TextBlock(text=wire.instructions))
    if isinstance(wire.input, str):
        conversation.say(wire.input)
    else:
        for index, item in enumerate(wire.input or ()):
            yield from conversation.adding(item, f"input[{index}]")
            if (index + 1) % IN_A_STEP == 0:
                yield
    return conversation


def _tools(
    wire: CreateResponse,
) -> tuple[tuple[FunctionTool | Raw, ...], tuple[Raw, ...], tuple[McpChoice | RemoteServer, ...]]:
    """The tools as they are repeated; those that only an upstream knows, as they came; servers of ours."""
    found: list[FunctionTool | Raw] = []
    others: list[Raw] = []
    servers: list[McpChoice | RemoteServer] = []
    for index, tool in enumerate(wire.tools or ()):
        at = f"tools[{index}]"
        kind = decode(tool, _TOOL_KIND.decode, side="local", at=at).type
        server = chosen_server(tool, at) if kind == "mcp" else None
        if kind == "function":
            found.append(decode(tool, _TOOL.decode, side="local", at=at))
        elif server is not None:
            servers.append(server)
            found.append(on_a_line(without_secrets(tool)))
        else:
            others.append(on_a_line(tool))
            found.append(on_a_line(without_secrets(tool)) if kind == "mcp" else others[-1])
    check_labels([*map(_choice_of, servers)])
    return tuple(found), tuple(others), tuple(servers)


def _choice_of(server: McpChoice | RemoteServer) -> McpChoice:
    return server.choice if isinstance(server, RemoteServer) else server


def _functions(tools: tuple[FunctionTool | Raw, ...]) -> tuple[FunctionTool, ...]:
    return tuple(tool for tool in tools if isinstance(tool, FunctionTool))


def _beside(wire: CreateResponse, fields: Mapping[str, Raw], others: tuple[Raw, ...]) -> dict[str, Raw]:
    """What an upstream of the dialect is told beside the fields that have a place.

    The tools that only such an upstream can run are among it, with what is said of them; where the client
    allows but some functions, they are not.
    """
    choice = wire.tool_choice
    if isinstance(choice, ChoiceObject) and choice.type == "allowed_tools":
        others = ()
    found = {
        name: value.copy() for name, value in fields.items() if name not in _HAS_A_PLACE and value != NULL
    }
    if others:
        found["tools"] = Raw(msgspec.json.encode(others))
        for name in ("max_tool_calls", "tool_choice"):
            if name in fields and fields[name] != NULL:
                found[name] = fields[name].copy()
    return found


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


def _echo(wire: CreateResponse, tools: tuple[FunctionTool | Raw, ...], tool_choice: Raw) -> Echo:
    plain = Echo(model=wire.model)
    conversation_id = _conversation_id(wire)
    text = wire.text or TextConfig()
    shape = text.format or Format(type="text")
    return Echo(
        model=wire.model,
        conversation=UNSET if conversation_id is None else ConversationRef(id=conversation_id),
        frequency_penalty=_or(wire.frequency_penalty, plain.frequency_penalty),
        instructions=wire.instructions,
        max_output_tokens=wire.max_output_tokens,
        max_tool_calls=wire.max_tool_calls,
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
        tools=tuple(tool if isinstance(tool, Raw) else _repeated(tool) for tool in tools),
        top_logprobs=wire.top_logprobs or 0,
        top_p=_or(wire.top_p, plain.top_p),
        truncation=wire.truncation or plain.truncation,
        user=wire.user,
    )


def _repeated(tool: FunctionTool) -> FunctionTool:
    return msgspec.structs.replace(tool, parameters=on_a_line(tool.parameters))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
