"""What a server asks for as a generation of ours, and the generation as its answer. Pure.

Source: Model Context Protocol 2025-11-25, client/sampling: "Message Content", "Tool Use and Result Balance".
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.block import (
    Base64Source,
    Block,
    ImageBlock,
    OpaqueBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.generation import Generation, GenerationRequest, StopReason
from callboard.domain.message import Message, text_of, tool_results, tool_uses
from callboard.domain.model import ModelTraits
from callboard.domain.sampling import (
    NULL,
    AudioContent,
    CreateMessage,
    ImageContent,
    SamplingContent,
    SamplingMessage,
    SamplingPolicy,
    SamplingResult,
    SamplingStop,
    TextContent,
    ToolResultContent,
    ToolUseContent,
)
from callboard.domain.tools import ToolChoice, ToolDefinition
from callboard.errors import InvalidRequest

SOUND = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
"""Media types that models take, and what they call them."""

AUDIO = "input_audio"

_REASONS: dict[StopReason, SamplingStop] = {
    "end_turn": "endTurn",
    "pause_turn": "endTurn",
    "max_tokens": "maxTokens",
    "stop_sequence": "stopSequence",
    "tool_use": "toolUse",
    "refusal": "refusal",
}


class _Interpreted(Struct, frozen=True, kw_only=True):
    """The extra arguments that have a place in our requests."""

    top_p: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None


_EXTRA_ARGS = msgspec.json.Decoder(dict[str, Raw])
_INTERPRETED = msgspec.json.Decoder(_Interpreted)


def generation_request(asked: CreateMessage, policy: SamplingPolicy) -> GenerationRequest:
    """What is to be generated, within ``policy``, by a model that is still to be chosen.

    Raises:
        InvalidRequest: A message has content that no model takes, or the policy does not allow.
    """
    if asked.task != NULL:
        raise InvalidRequest("sampling as a task is not supported")
    messages = tuple(_message(each, f"messages[{index}]") for index, each in enumerate(asked.messages))
    uses_tools = any(
        isinstance(block, ToolUseBlock | ToolResultBlock) for each in messages for block in each.content
    )
    if not policy.tools and (asked.tools or asked.tool_choice is not None or uses_tools):
        raise InvalidRequest("tools in sampling are not allowed")
    _check_balance(messages)
    request = GenerationRequest(
        model="",
        messages=messages,
        system=(TextBlock(text=asked.system_prompt),) if asked.system_prompt else (),
        tools=tuple(
            ToolDefinition(
                name=tool.name, description=tool.description or "", input_schema=tool.input_schema.copy()
            )
            for tool in asked.tools or ()
        ),
        tool_choice=ToolChoice(mode=asked.tool_choice.mode or "auto")
        if asked.tool_choice and asked.tools
        else None,
        max_output_tokens=min(asked.max_tokens, policy.max_tokens),
        temperature=asked.temperature,
        stop=tuple(filter(None, asked.stop_sequences or ())),
    )
    return _with_extra_args(request, asked, policy)


def check_traits(request: GenerationRequest, traits: ModelTraits, model: str) -> None:
    """Refuse content that the chosen model cannot take, before it is sent.

    Raises:
        InvalidRequest: There is some.
    """
    for block in _blocks(request.messages):
        if isinstance(block, ImageBlock) and not traits.images:
            raise InvalidRequest(f"the model {model!r} takes no images")
        if isinstance(block, OpaqueBlock) and block.type == AUDIO and not traits.audio:
            raise InvalidRequest(f"the model {model!r} takes no audio")
    if request.tools and not traits.tools:
        raise InvalidRequest(f"the model {model!r} calls no tools")


def sampling_result(generation: Generation, *, tools: bool) -> SamplingResult:
    """The answer: its text, and with ``tools`` its calls. What the model thought stays with us."""
    text = text_of(generation.content)
    content: TextContent | tuple[TextContent | ToolUseContent, ...] = TextContent(text=text)
    if tools:
        calls = (block for block in generation.content if isinstance(block, ToolUseBlock))
        used = tuple(ToolUseContent(id=call.id, name=call.name, input=call.input) for call in calls)
        content = (TextContent(text=text), *used) if text or not used else used
    return SamplingResult(
        role="assistant",
        content=content,
        model=generation.model,
        stop_reason=_REASONS[generation.stop_reason],
    )


def _message(message: SamplingMessage, at: str) -> Message:
    blocks = tuple(_block(block, message.role, at) for block in message.blocks)
    return Message(role=message.role, content=blocks)


def _block(content: SamplingContent, role: str, at: str) -> Block:
    match content, role:
        case TextContent(text=text), _:
            return TextBlock(text=text)
        case ImageContent(), "user":
            return _image(content, at)
        case AudioContent(), "user":
            return _audio(content, at)
        case ToolUseContent(), "assistant":
            if not bytes(content.input).lstrip().startswith(b"{"):
                raise InvalidRequest(f"{at}: the input of a tool is an object")
            return ToolUseBlock(id=content.id, name=content.name, input=content.input.copy())
        case ToolResultContent(), "user":
            return _tool_result(content, at)
        case _:
            raise InvalidRequest(f"{at}: a message of the {role}'s holds no {_kind(content)}")


def _tool_result(content: ToolResultContent, at: str) -> ToolResultBlock:
    shown = tuple(
        TextBlock(text=each.text) if isinstance(each, TextContent) else _image(each, at)
        for each in content.content
    )
    if not shown and content.structured_content != NULL:
        shown = (TextBlock(text=bytes(content.structured_content).decode()),)
    return ToolResultBlock(tool_use_id=content.tool_use_id, content=shown, is_error=bool(content.is_error))


def _image(content: ImageContent, at: str) -> ImageBlock:
    media_type, data = content.mime_type, content.data
    if data.startswith("data:"):  # some servers send a whole data URL
        head, _, data = data.partition(";base64,")
        media_type = head.removeprefix("data:") or media_type
    if not media_type.startswith("image/") or not media_type.isprintable() or " " in media_type:
        raise InvalidRequest(f"{at}: an image needs a media type such as image/png")
    _check_base64(data, at)
    return ImageBlock(source=Base64Source(media_type=media_type, data=data))


def _audio(content: AudioContent, at: str) -> OpaqueBlock:
    sound = SOUND.get(content.mime_type.lower())
    if sound is None:
        raise InvalidRequest(f"{at}: audio has to be audio/wav or audio/mpeg")
    _check_base64(content.data, at)
    part = {"type": AUDIO, AUDIO: {"data": content.data, "format": sound}}
    return OpaqueBlock(type=AUDIO, raw=Raw(msgspec.json.encode(part)))


def _check_base64(data: str, at: str) -> None:
    try:
        if data and binascii.a2b_base64(data, strict_mode=True):
            return
    except ValueError:
        pass
    raise InvalidRequest(f"{at}: the data is not base64")


def _check_balance(messages: Sequence[Message]) -> None:
    """Each call has its result in the next message, which holds nothing else."""
    expected: frozenset[str] = frozenset()
    for index, message in enumerate(messages):
        found = [result.tool_use_id for result in tool_results(message)]
        if found and len(found) != len(message.content):
            raise InvalidRequest(f"messages[{index}]: tool results mixed with other content")
        if frozenset(found) != expected or len(found) != len(expected):
            raise InvalidRequest(f"messages[{index}]: tool result missing in request, or without its call")
        expected = frozenset(call.id for call in tool_uses(message))
    if expected:
        raise InvalidRequest("tool result missing in request")


def _with_extra_args(
    request: GenerationRequest, asked: CreateMessage, policy: SamplingPolicy
) -> GenerationRequest:
    raw = (asked.metadata or {}).get("extra_args")
    if raw is None or not policy.extra_args:
        return request
    try:
        given = _EXTRA_ARGS.decode(raw)
        allowed = {name: value.copy() for name, value in given.items() if name in policy.extra_args}
        known = _INTERPRETED.decode(msgspec.json.encode(allowed))
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"metadata.extra_args: {error}") from error
    others = {name: value for name, value in allowed.items() if name not in _Interpreted.__struct_fields__}
    return replace(
        request,
        top_p=known.top_p,
        seed=known.seed,
        reasoning_effort=known.reasoning_effort,
        extra=others or None,
    )


def _blocks(messages: Sequence[Message]) -> list[Block]:
    found: list[Block] = []
    for message in messages:
        for block in message.content:
            found += block.content if isinstance(block, ToolResultBlock) else (block,)
    return found


def _kind(content: SamplingContent) -> str:
    return type(content).__name__.removesuffix("Content").lower()
