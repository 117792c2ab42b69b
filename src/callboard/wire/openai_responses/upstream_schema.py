"""The Responses dialect as structs, from the side of a client: what we send, and what comes back.

What we send repeats the structs of `callboard.wire.openai_responses.schema`, each with its type told. What
comes back is read leniently: servers of the dialect leave out what does not matter to them, and add what they
like. Output items stay raw until their type is known; those of unknown types are left out.

Source: OpenAI API reference, "Create a model response", "The response object", "Streaming events" (as of the
``openai`` package 3.52); Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from callboard.wire.openai_responses.schema import (
    NULL,
    FunctionCallItem,
    FunctionOutputItem,
    FunctionTool,
    MessageItem,
    ReasoningPiece,
    SummaryText,
    TextConfig,
)

# --- what we send
# ---------------------------------------------------------------------------------------------------


class SentMessage(
    MessageItem, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="message"
):
    """Something said.

    Attributes:
        phase: What kind of saying the model called it, e.g. ``commentary``; it wants to be told again.
    """

    phase: str | None = None


class SentCall(FunctionCallItem, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call the model made."""


class SentOutput(FunctionOutputItem, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    """What a call came to."""


class ReasoningText(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_text"):
    """Reasoning in the open, as models with open weights show it."""

    text: str


class SentReasoning(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="reasoning"):
    """What the model thought, for it to go on from."""

    summary: tuple[SummaryText, ...]
    id: str | None = None
    content: tuple[ReasoningText, ...] | None = None
    encrypted_content: str | None = None


SentItem: TypeAlias = SentMessage | SentCall | SentOutput | SentReasoning


class SentTool(FunctionTool, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="function"):
    """A function the model may call."""


class NamedFunction(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """The function that must be called, or one of those that may be."""

    name: str


class AllowedTools(Struct, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    """The tools among those told of that may be called."""

    mode: str
    tools: tuple[NamedFunction, ...]


class SentRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request; what the client's dialect had beside it is added to its JSON.

    Attributes:
        store: False: what we send is ours to keep, and nothing of it is referred to later.
    """

    model: str
    input: tuple[SentItem | Raw, ...]
    store: bool
    instructions: str | None = None
    stream: bool | None = None
    tools: tuple[SentTool | Raw, ...] | None = None
    tool_choice: str | NamedFunction | AllowedTools | Raw | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextConfig | None = None
    reasoning: dict[str, Raw] | None = None
    include: tuple[str, ...] | None = None
    top_logprobs: int | None = None
    user: str | None = None


# --- what comes back
# ---------------------------------------------------------------------------------------------------


class PartIn(Struct, frozen=True, kw_only=True):
    """A piece of a message."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: Raw = NULL


class MessageIn(Struct, frozen=True, kw_only=True):
    """Something the model said."""

    content: tuple[PartIn, ...] | None = None
    phase: str | None = None


class CallIn(Struct, frozen=True, kw_only=True):
    """A call; ``arguments`` is JSON text, or the object itself, or nothing."""

    call_id: str | None = None
    name: str | None = None
    arguments: Raw = NULL


class ReasoningIn(Struct, frozen=True, kw_only=True):
    """What the model thought: its text, a summary of it, the encrypted form, or none of them."""

    id: str | None = None
    summary: tuple[ReasoningPiece, ...] | None = None
    content: tuple[ReasoningPiece, ...] | None = None
    encrypted_content: str | None = None


class InputDetailsIn(Struct, frozen=True, kw_only=True):
    """Parts of ``input_tokens``."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetailsIn(Struct, frozen=True, kw_only=True):
    """Parts of ``output_tokens``."""

    reasoning_tokens: int | None = None


class UsageIn(Struct, frozen=True, kw_only=True):
    """Tokens; the input's include cached ones, the output's include reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetailsIn | None = None
    output_tokens_details: OutputDetailsIn | None = None


class IncompleteIn(Struct, frozen=True, kw_only=True):
    """Why a response is incomplete."""

    reason: str | None = None


class ResponseIn(Struct, frozen=True, kw_only=True):
    """A Response object, whole or as its first events have it."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: tuple[Raw, ...] | None = None
    usage: UsageIn | None = None
    error: Raw = NULL
    incomplete_details: IncompleteIn | None = None
    service_tier: str | None = None


class EventIn(Struct, frozen=True, kw_only=True):
    """The data of any event, as far as one of those we know needs it."""

    type: str = ""
    response: Raw = NULL
    item: Raw = NULL
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: Raw = NULL
    text: Raw = NULL
    refusal: Raw = NULL
    arguments: Raw = NULL
    logprobs: Raw = NULL
    error: Raw = NULL
