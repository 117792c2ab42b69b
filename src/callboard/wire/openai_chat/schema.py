"""The chat completions dialect as structs.

Two rules for what we do not name here. Of a *request*, unknown top-level fields are kept in
`GenerationRequest.extra` and passed on to upstreams of the dialect, which judge them; unknown fields within
messages and their parts are kept in the domain's ``extra`` and sent to nobody; unknown roles, parts and tool
types are refused, because nothing we could make of them would be what was meant. Of a *response*, unknown
fields are ignored: the relay passes them on untouched, and the domain has no use for them.

Where a struct serves both directions, a field with a default is left out of what we encode when it is at it.

Source: OpenAI API reference, "Create chat completion", "The chat completion object", "The chat completion
chunk object" (as of the ``openai`` package 3.52).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Raw, Struct

NULL = Raw(b"null")

MAX_CALLS = 1_024
"""Calls, choices or pieces of content that are read of one answer; no model makes as many."""

# --- requests


class TextPart(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str


class RefusalPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="refusal"):
    """A piece of a refusal, in an assistant's message."""

    refusal: str


class ImageUrl(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """``url`` is an address or a data URL."""

    url: str
    detail: str | None = None


class ImagePart(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="image_url"
):
    """An image; the bare address is an old form that some clients still send."""

    image_url: ImageUrl | str


class FileFields(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """``file_data`` is a data URL."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type", tag="file"):
    """A document."""

    file: FileFields


class AudioPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="input_audio"):
    """Sound, which we pass on and do not interpret."""

    input_audio: Raw


class VideoPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="video_url"):
    """Video, which some compatible servers take; passed on like sound."""

    video_url: Raw


Part: TypeAlias = TextPart | RefusalPart | ImagePart | FilePart | AudioPart | VideoPart
TextContent: TypeAlias = str | tuple[TextPart, ...]


class FunctionCall(Struct, frozen=True, kw_only=True, gc=False):
    """``arguments`` is JSON text: whatever a model writes, and with some servers the object itself."""

    name: str | None = None
    arguments: Raw = NULL


class ToolCall(Struct, frozen=True, kw_only=True, gc=False):
    """A call the model made."""

    id: str | None = None
    type: str | None = "function"
    function: FunctionCall


class SystemMessage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="system"):
    """Instructions."""

    content: TextContent
    name: str | None = None


class DeveloperMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="developer"
):
    """Instructions, as reasoning models want them."""

    content: TextContent
    name: str | None = None


class UserMessage(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="role", tag="user"
):
    """What the user says."""

    content: str | tuple[Part, ...]
    name: str | None = None


class AssistantMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """What the model said."""

    content: str | tuple[Part, ...] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    function_call: FunctionCall | None = None


class ToolMessage(
    Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="role", tag="tool"
):
    """What a call came to."""

    tool_call_id: str
    content: TextContent


class FunctionMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="function"
):
    """What a legacy function call came to."""

    name: str
    content: str | None


RequestMessage: TypeAlias = (
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage
)


class FunctionDefinition(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """``parameters`` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True, gc=False):
    """A function the model may call."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class FunctionName(Struct, frozen=True, kw_only=True, gc=False):
    """A function, named."""

    name: str


class NamedChoice(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One function that must be called; of other types ``tool_choice`` is passed on as it is."""

    type: str | None = None
    function: FunctionName | None = None


class JsonSchemaFormat(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The schema of an answer."""

    name: str
    description: str | None = None
    schema: Raw = NULL
    strict: bool | None = None


class Format(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The shape of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(Struct, frozen=True, kw_only=True, gc=False):
    """How to stream."""

    include_usage: bool | None = None


class RequestFields(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The body of a request beside its messages, as far as we interpret it, and `CHECKED_ONLY`."""

    model: Annotated[str, Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: Literal["none", "auto", "required", "any"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: tuple[FunctionDefinition, ...] | None = None
    function_call: Literal["none", "auto"] | FunctionName | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | tuple[str, ...] | None = None
    seed: int | None = None
    response_format: Format | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None


class ChatCompletionRequest(RequestFields, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request."""

    messages: Annotated[tuple[RequestMessage, ...], Meta(min_length=1)]


CHECKED_ONLY = frozenset(
    {
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "metadata",
        "store",
        "frequency_penalty",
        "presence_penalty",
    }
)
"""Fields whose types are checked and whose values are passed on: the domain has no place for them.

All that are not named (``service_tier``, ``modalities``, ``verbosity``, a vendor's own …) are passed on
unchecked.
"""


# --- responses


class PromptTokensDetails(Struct, frozen=True, kw_only=True, gc=False):
    """Parts of ``prompt_tokens``."""

    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0


class CompletionTokensDetails(Struct, frozen=True, kw_only=True, gc=False):
    """Parts of ``completion_tokens``."""

    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    accepted_prediction_tokens: int | None = 0
    rejected_prediction_tokens: int | None = 0


class CompletionUsage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens; the prompt's include cached ones, the completion's include reasoning."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class UsageElsewhere(Struct, frozen=True, kw_only=True, gc=False):
    """Groq's place for the usage of a stream."""

    usage: CompletionUsage | None = None


class Logprobs(Struct, frozen=True, kw_only=True, gc=False):
    """Arrays of tokens with their log probabilities."""

    content: Raw = NULL
    refusal: Raw = NULL


class FinishDetails(Struct, frozen=True, kw_only=True, gc=False):
    """What early vision models sent instead of ``finish_reason``."""

    type: str | None = None


class ContentPiece(Struct, frozen=True, kw_only=True, gc=False):
    """A part of content that some compatible servers answer in pieces."""

    type: str = ""
    text: str = ""


class ResponseMessage(Struct, frozen=True, kw_only=True, gc=False):
    """The model's message; the two names of reasoning are different servers' for the same."""

    content: str | tuple[ContentPiece, ...] | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(Struct, frozen=True, kw_only=True, gc=False):
    """One of ``n`` answers; ``message`` is a `ResponseMessage`."""

    message: Raw
    index: int | None = 0
    finish_reason: str | None = None
    finish_details: FinishDetails | None = None
    logprobs: Logprobs | None = None


class ChatCompletion(Struct, frozen=True, kw_only=True, gc=False):
    """An unstreamed answer; ``choices`` are an array of `Choice`."""

    id: str | None = ""
    model: str | None = ""
    choices: Raw = NULL
    usage: CompletionUsage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Raw = NULL


class FunctionDelta(Struct, frozen=True, kw_only=True, gc=False):
    """More of a call."""

    name: str | None = None
    arguments: Raw = NULL


class ToolCallDelta(Struct, frozen=True, kw_only=True, gc=False):
    """More of the call at ``index``."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(Struct, frozen=True, kw_only=True, gc=False):
    """More of a message."""

    content: str | tuple[ContentPiece, ...] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class ChunkChoice(Struct, frozen=True, kw_only=True, gc=False):
    """More of one of ``n`` answers."""

    delta: Delta | None = None
    index: int | None = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(Struct, frozen=True, kw_only=True, gc=False):
    """One event of a stream."""

    id: str | None = ""
    model: str | None = ""
    choices: list[ChunkChoice] | None = None
    usage: CompletionUsage | None = None
    x_groq: UsageElsewhere | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Raw = NULL
