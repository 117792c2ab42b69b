"""One model call: what is asked for, and the finished answer."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from callboard.domain.block import Block, Extra, TextBlock
from callboard.domain.message import Message
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.domain.usage import Usage

StopReason: TypeAlias = Literal[
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn"
]


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """The shape the answer's text must have.

    Attributes:
        kind: ``json_schema`` comes with ``schema``; the other two without.
        schema: JSON Schema the text must satisfy.
    """

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class GenerationRequest(Struct, frozen=True, kw_only=True):
    """Everything a provider needs for one generation; None leaves a choice to the provider.

    Attributes:
        model: The name the client asked for, not the upstream's.
        system: Instructions, in order. They never enter ``messages``, so replacing them mutates no history.
        dialect: The dialect that the fields in ``extra`` belong to, e.g. ``openai_chat``; None for any.
        extra: Fields of the client's dialect that we do not interpret, passed on to providers that speak the
            same one.
    """

    model: str
    messages: tuple[Message, ...]
    system: tuple[TextBlock, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    dialect: str | None = None
    extra: Extra | None = None


class Generation(Struct, frozen=True, kw_only=True):
    """A finished generation: the fold of its stream.

    Attributes:
        id: The upstream's id of the answer.
        model: The model that really answered, in the upstream's words.
        usage: None where the upstream reported none.
    """

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    extra: Extra | None = None
