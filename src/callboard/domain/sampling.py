"""Sampling as MCP says it: an MCP server asks its client for a generation. The shapes, and who may what.

The structs mirror the wire, field by field, so that ``msgspec.json`` reads and writes them; what we have no
use for (annotations, ``_meta``) is dropped. Nothing here imports an MCP library.

Source: Model Context Protocol, schema 2025-11-25, ``CreateMessageRequestParams`` and ``CreateMessageResult``;
2026-07-28 embeds the same in ``input_required``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from callboard.domain.meter import Meter
from callboard.domain.preferences import WirePreferences
from callboard.domain.principal import Principal
from callboard.errors import InvalidRequest

NULL = Raw(b"null")
Count: TypeAlias = Annotated[int, Meta(ge=1)]
ExtraArgument: TypeAlias = Literal[
    "frequency_penalty",
    "logit_bias",
    "min_p",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "top_k",
    "top_p",
]
"""What an operator can let a server set of a generation; nothing of it chooses a model or costs more."""


class TextContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str


class ImageContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="image", rename="camel"):
    """An image, in base64."""

    data: str
    mime_type: str


class AudioContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio", rename="camel"):
    """Sound, in base64."""

    data: str
    mime_type: str


class ToolUseContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """The model calls a tool of the server's."""

    id: str
    name: str
    input: Raw


class ToolResultContent(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_result", rename="camel"
):
    """What a tool of the server's came to."""

    tool_use_id: str
    content: tuple[TextContent | ImageContent, ...] = ()
    structured_content: Raw = NULL
    is_error: bool | None = None


SamplingContent: TypeAlias = TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent


class SamplingMessage(Struct, frozen=True, kw_only=True):
    """One message; several blocks in one since 2025-11-25."""

    role: Literal["user", "assistant"]
    content: SamplingContent | tuple[SamplingContent, ...]

    @property
    def blocks(self) -> tuple[SamplingContent, ...]:
        """The content as several blocks, whichever form it came in."""
        return self.content if isinstance(self.content, tuple) else (self.content,)


class SamplingTool(Struct, frozen=True, kw_only=True, rename="camel"):
    """A tool that the server would run."""

    name: str
    description: str | None = None
    input_schema: Raw


class SamplingToolChoice(Struct, frozen=True, kw_only=True):
    """Whether the model may, must or must not call tools."""

    mode: Literal["auto", "required", "none"] | None = None


class CreateMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """``params`` of ``sampling/createMessage``.

    Attributes:
        include_context: Anything is taken for ``none``: a server is told nothing of other servers or of the
            conversation. The specification leaves that to the client.
        metadata: Only ``extra_args`` is looked at, and only where a policy allows it.
        task: Asks for an answer to be fetched later, which we do not do.
    """

    messages: Annotated[tuple[SamplingMessage, ...], Meta(min_length=1)]
    max_tokens: Count
    model_preferences: WirePreferences | None = None
    system_prompt: str | None = None
    include_context: str | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    stop_sequences: tuple[str, ...] | None = None
    metadata: dict[str, Raw] | None = None
    tools: tuple[SamplingTool, ...] | None = None
    tool_choice: SamplingToolChoice | None = None
    task: Raw = NULL


SamplingStop: TypeAlias = Literal["endTurn", "maxTokens", "stopSequence", "toolUse", "refusal"]


class SamplingResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """``result`` of ``sampling/createMessage``, without ``_meta``: nothing of ours is the server's business.

    Attributes:
        content: One block, or several where tools were offered.
        model: Which one answered, in its provider's words.
        stop_reason: A word of MCP's; or ``refusal``, where the model or its provider's filter would not.
            MCP leaves the set open.
    """

    role: Literal["assistant"]
    content: TextContent | tuple[TextContent | ToolUseContent, ...]
    model: str
    stop_reason: SamplingStop


class SamplingError(Struct, frozen=True, kw_only=True):
    """``error`` of a JSON-RPC answer."""

    code: int
    message: str


class SamplingPolicy(Struct, frozen=True, kw_only=True):
    """``sampling`` of an MCP server's table: what it may ask of models, at its callers' cost. Off by default.

    Attributes:
        models: What it may be given: names, or beginnings of names with ``*`` behind them. The caller must be
            allowed to ask for the model as well; fallbacks are the operator's.
        max_tokens: The most an answer may have, whatever the server asks for.
        max_requests: How often it may ask within one call of a tool.
        tools: Whether it may offer tools to the model. It runs them itself; ours are never offered.
        extra_args: What it may set through ``metadata.extra_args``.
    """

    enabled: bool = False
    models: tuple[str, ...] = ()
    max_tokens: Count = 4096
    max_requests: Count = 16
    tools: bool = False
    extra_args: tuple[ExtraArgument, ...] = ()


class Originator:
    """A call of a server's tool that is under way: on whose behalf the server may ask, and how often it has.

    One for each call, made by whoever makes the call, and not used when that has ended.

    Args:
        principal: Whose limits and ledger lines the answers belong to, and whose models they come from.
        meter: The account of the request that the call is made for.
        depth: Within how many answers to servers the call is made; 0 for a call of a client's own turn.

    Attributes:
        asked: How often the server has asked.
    """

    __slots__ = ("asked", "depth", "meter", "principal")

    def __init__(self, principal: Principal, meter: Meter, *, depth: int = 0) -> None:
        self.principal = principal
        self.meter = meter
        self.depth = depth
        self.asked = 0


_PARAMS = msgspec.json.Decoder(CreateMessage)


def decode_params(params: bytes) -> CreateMessage:
    """``params`` of ``sampling/createMessage``, from their JSON.

    Raises:
        InvalidRequest: They are not what the schema says; the message names the place.
    """
    try:
        return _PARAMS.decode(params)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"invalid params: {error}") from error
