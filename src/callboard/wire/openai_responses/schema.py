"""The Responses dialect as structs.

Rules for what we do not name here:

- Unknown top-level fields of a request are kept in `GenerationRequest.extra`, for upstreams of the dialect.
- Items and tools of a type we do not know are kept as they came, because clients send whatever their
  favourite server knows: they are repeated and listed, and passed on to upstreams of the dialect. No other
  upstream is told of them.
- Unknown fields within an item or a part are ignored; parts of an unknown type are refused, because nothing
  we could make of a message without them would be what was meant.

Source: OpenAI API reference, "Create a model response", "The response object" (as of the ``openai`` package
3.52); Open Responses specification, 2026-04-24. Where the two differ we write what both accept.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

NULL = Raw(b"null")

# --- requests
# ---------------------------------------------------------------------------------------------------


class InputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    """A piece of text."""

    text: str


class OutputTextAgain(InputText, frozen=True, kw_only=True, tag="output_text"):
    """A piece of text that the model wrote before."""


class PlainText(InputText, frozen=True, kw_only=True, tag="text"):
    """A piece of text, under the name it has in chat completions."""


class RefusalPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """A refusal in words; comes in and goes out alike."""

    refusal: str


class InputImage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="input_image"):
    """An image: an address, a data URL, or a file."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class InputFile(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="input_file"):
    """A document; ``file_data`` is a data URL, or base64 of a PDF."""

    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputAudio(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Sound, which we pass on and do not interpret."""

    input_audio: Raw


Part: TypeAlias = InputText | OutputTextAgain | PlainText | RefusalPart | InputImage | InputFile | InputAudio
Content: TypeAlias = str | tuple[Part, ...]


class ItemKind(Struct, frozen=True, kw_only=True):
    """What an item is; one with a role and no type is a message."""

    type: str | None = None
    role: str | None = None


class MessageItem(Struct, frozen=True, kw_only=True):
    """Something said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: str | None = None


class FunctionCallItem(Struct, frozen=True, kw_only=True):
    """A call the model made; ``arguments`` is JSON text, or whatever a model wrote."""

    call_id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    arguments: str = ""


class FunctionOutputItem(Struct, frozen=True, kw_only=True):
    """What a call came to."""

    call_id: Annotated[str, Meta(min_length=1)]
    output: Content


class ReasoningPiece(Struct, frozen=True, kw_only=True):
    """A piece of reasoning, or of its summary."""

    text: str = ""


class ReasoningItem(Struct, frozen=True, kw_only=True):
    """What the model thought; the text may be missing, and the encrypted form too."""

    id: str | None = None
    summary: tuple[ReasoningPiece, ...] | None = None
    content: tuple[ReasoningPiece, ...] | None = None
    encrypted_content: str | None = None


class ApprovalRequestItem(Struct, frozen=True, kw_only=True):
    """A call that waits for approval; ``arguments`` is JSON text."""

    id: str = ""
    server_label: str = ""
    name: str = ""
    arguments: str = ""


class ApprovalResponseItem(Struct, frozen=True, kw_only=True):
    """What the user says to it."""

    approval_request_id: Annotated[str, Meta(min_length=1)]
    approve: bool
    reason: str | None = None


class ItemReference(Struct, frozen=True, kw_only=True):
    """An item that is kept, instead of the item."""

    id: str


class CompactionItem(Struct, frozen=True, kw_only=True):
    """A conversation made short; whoever made the content can read it."""

    encrypted_content: str


class ToolKind(Struct, frozen=True, kw_only=True):
    """What a tool, or a choice of one, is."""

    type: str
    name: str | None = None


class FunctionTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function the model may call; ``parameters`` is a JSON Schema."""

    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class ChoiceObject(ToolKind, frozen=True, kw_only=True):
    """A choice that is more than a word: a function, or the tools that may be called."""

    mode: Literal["auto", "required"] = "auto"
    tools: tuple[ToolKind, ...] = ()


class Format(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The shape of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw = NULL
    strict: bool | None = None


class TextConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an answer is to be written."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(Struct, frozen=True, kw_only=True):
    """How much the model is to think, and to say of it."""

    effort: str | None = None
    summary: str | None = None


_Key: TypeAlias = Annotated[str, Meta(max_length=64)]
_Value: TypeAlias = Annotated[str, Meta(max_length=512)]
Metadata: TypeAlias = Annotated[dict[_Key, _Value], Meta(max_length=16)]


class ConversationRef(Struct, frozen=True, kw_only=True):
    """The conversation that a response stands in."""

    id: str


class CreateResponse(Struct, frozen=True, kw_only=True):
    """The body of a request, as far as we interpret or repeat it."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    prompt: Raw = NULL
    background: bool | None = None
    store: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChoiceObject | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    user: str | None = None
    include: tuple[str, ...] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    metadata: Metadata | None = None
    truncation: Literal["auto", "disabled"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None


class CountInput(CreateResponse, frozen=True, kw_only=True):
    """The body of a request that is to be measured; there is a model to it or not."""

    model: str = ""


# --- responses
# --------------------------------------------------------------------------------------------------

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class Echo(Struct, frozen=True, kw_only=True):
    """What an answer repeats of its request, with the defaults that were in force."""

    model: str
    background: bool = False
    conversation: ConversationRef | UnsetType = UNSET
    frequency_penalty: float = 0.0
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = {}
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningConfig = ReasoningConfig()
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1.0
    text: TextConfig = TextConfig(format=Format(type="text"))
    tool_choice: Raw = Raw(b'"auto"')
    tools: tuple[FunctionTool | Raw, ...] = ()
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: Literal["auto", "disabled"] = "disabled"
    user: str | None = None


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text the model wrote."""

    text: str
    annotations: tuple[Raw, ...] = ()
    logprobs: Raw = Raw(b"[]")


class SummaryText(Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text"):
    """What the model says of its reasoning."""

    text: str


class MessageOut(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """Something the model said."""

    id: str
    status: Status
    content: tuple[OutputText | RefusalPart, ...]
    role: Literal["assistant"] = "assistant"
    phase: str | UnsetType = UNSET


class FunctionCallOut(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call that the client is to run."""

    id: str
    status: Status
    call_id: str
    name: str
    arguments: str


class ReasoningOut(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="reasoning"):
    """What the model thought."""

    id: str
    status: Status
    summary: tuple[SummaryText, ...]
    encrypted_content: str | None = None


class ApprovalRequestOut(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_approval_request"):
    """A call that is not run before the user approves it."""

    id: str
    server_label: str
    name: str
    arguments: str


ItemOut: TypeAlias = MessageOut | FunctionCallOut | ReasoningOut


class InputTokensDetails(Struct, frozen=True, kw_only=True):
    """Parts of ``input_tokens``."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, frozen=True, kw_only=True):
    """Parts of ``output_tokens``."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """Tokens of all rounds; the input's include cached ones, the output's include reasoning."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens_details: OutputTokensDetails


class ResponseError(Struct, frozen=True, kw_only=True):
    """Why a response failed."""

    code: str
    message: str
