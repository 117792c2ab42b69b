"""The domain's messages in the dialect: what an upstream is sent.

- Blocks keep their order. Texts, images and documents that follow each other become one message item; each
  call, each result and each thought is an item of its own.
- Calls and messages go without the ids they had: a server that kept nothing looks them up in vain, and misses
  the reasoning that came before them.
- Thinking goes back to where it came from: encrypted, under the id that its encryption is bound to, or in the
  open where it came in the open. A mere summary is of no use to the model and is left out, and so is
  reasoning that nothing follows: "'reasoning' was provided without its required following item".
- A result that is an error says so in its text, as the dialect has no field for it.
- Items of types we do not know go as they came. Blocks we do not know are another dialect's and are left out,
  and so is a message that has nothing else.
- Of ``extra``, only fields that the dialect has are sent.

Source: OpenAI API reference, "Create a model response", ``input``; OpenAI guide "Reasoning models",
"Encrypted reasoning items".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard.domain.arguments import arguments_of
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    Extra,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    ResultContent,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.item import ITEM, ITEM_ID
from callboard.domain.message import Message
from callboard.domain.model import ModelTraits
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.wire.openai_chat.outgoing import TRUE, is_refusal, result_texts
from callboard.wire.openai_responses.opaque import item_in
from callboard.wire.openai_responses.phase import phase_of
from callboard.wire.openai_responses.schema import (
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    OutputTextAgain,
    Part,
    RefusalPart,
    SummaryText,
)
from callboard.wire.openai_responses.upstream_schema import (
    ReasoningText,
    SentCall,
    SentItem,
    SentMessage,
    SentOutput,
    SentReasoning,
)

IN_THE_OPEN = "reasoning_text"
"""Key in a thinking block's ``extra`` that marks reasoning which came as text and not as a summary of it."""

AnyItem: TypeAlias = SentItem | Raw
"""One of ours, or one that goes as it came."""

_TEXT = msgspec.json.Decoder(str)
_AUDIO = msgspec.json.Decoder(InputAudio)


def system_items(system: Sequence[TextBlock], traits: ModelTraits) -> tuple[SentItem, ...]:
    """Instructions, one message item for each block, in the role the model wants them in."""
    if traits.reasoning:
        return tuple(SentMessage(role="developer", content=block.text) for block in system)
    return tuple(SentMessage(role="system", content=block.text) for block in system)


def encode_items(messages: Sequence[Message]) -> tuple[AnyItem, ...]:
    """The conversation; ``messages`` are not changed."""
    return at_once(encoding_items(messages))


def encoding_items(messages: Sequence[Message]) -> Steps[tuple[AnyItem, ...]]:
    """`encode_items` in steps."""
    items: list[AnyItem] = []
    done = 0
    for message in messages:
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        if message.role == "assistant":
            items += _assistant(message)
        else:
            items += _user(message)
    if max(done, len(items)) > IN_A_STEP:
        yield
    return tuple(items)


class _Said(Struct):
    """A message item while parts are added to it."""

    role: Literal["user", "assistant"]
    phase: str | None
    parts: list[Part]


def _assistant(message: Message) -> list[AnyItem]:
    items: list[AnyItem | _Said] = []
    for block in message.content:
        match block:
            case TextBlock():
                _say(items, block)
            case ToolUseBlock():
                items.append(SentCall(call_id=block.id, name=block.name, arguments=arguments_of(block)))
            case ThinkingBlock() | RedactedThinkingBlock():
                items += _reasoning(block)
            case OpaqueBlock(type=kind) if kind == ITEM:
                items.append(item_in(block))
            case _:
                pass
    while items and isinstance(items[-1], SentReasoning):
        items.pop()
    return [_whole(item) for item in items]


def _user(message: Message) -> list[AnyItem]:
    items: list[AnyItem | _Said] = []
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            items.append(SentOutput(call_id=block.tool_use_id, output=_output(block)))
        elif isinstance(block, OpaqueBlock) and block.type == ITEM:
            items.append(item_in(block))
        elif (part := _part(block)) is not None:
            _append(items, _Said(role="user", phase=None, parts=[part]))
    return [_whole(item) for item in items]


def _say(items: list[AnyItem | _Said], block: TextBlock) -> None:
    part = RefusalPart(refusal=block.text) if is_refusal(block) else OutputTextAgain(text=block.text)
    _append(items, _Said(role="assistant", phase=phase_of(block), parts=[part]))


def _append(items: list[AnyItem | _Said], said: _Said) -> None:
    """Add what was said, to the message before where that is of the same kind."""
    last = items[-1] if items else None
    if isinstance(last, _Said) and last.phase == said.phase:
        last.parts += said.parts
    else:
        items.append(said)


def _whole(item: AnyItem | _Said) -> AnyItem:
    """The item as it is sent: a single text as a string, which every compatible server understands."""
    match item:
        case _Said(parts=[InputText() as only]):
            return SentMessage(role=item.role, content=only.text, phase=item.phase)
        case _Said(parts=parts):
            return SentMessage(role=item.role, content=tuple(parts), phase=item.phase)
        case _:
            return item


def _reasoning(block: ThinkingBlock | RedactedThinkingBlock) -> tuple[SentReasoning, ...]:
    item_id = _string(block.extra, ITEM_ID)
    if isinstance(block, RedactedThinkingBlock):
        return (SentReasoning(summary=(), id=item_id, encrypted_content=block.data),)
    encrypted = block.signature or None
    if block.extra is not None and block.extra.get(IN_THE_OPEN) == TRUE:
        content = (ReasoningText(text=block.thinking),)
        return (SentReasoning(summary=(), id=item_id, content=content, encrypted_content=encrypted),)
    if encrypted is None:
        return ()
    summary = (SummaryText(text=block.thinking),) if block.thinking else ()
    return (SentReasoning(summary=summary, id=item_id, encrypted_content=encrypted),)


def _output(result: ToolResultBlock) -> str | tuple[Part, ...]:
    parts: list[Part] = [InputText(text=text) for text in result_texts(result)]
    for block in result.content:
        part = None if isinstance(block, TextBlock) else _part(block)
        if part is not None:
            parts.append(part)
    match parts:
        case []:
            return ""
        case [InputText() as only]:
            return only.text
        case _:
            return tuple(parts)


def _part(block: Block | ResultContent) -> Part | None:
    match block:
        case TextBlock():
            return InputText(text=block.text)
        case ImageBlock():
            return _image(block)
        case DocumentBlock():
            return _document(block)
        case OpaqueBlock(type="input_audio"):
            return _AUDIO.decode(block.raw)
        case _:
            return None


def _image(block: ImageBlock) -> InputImage:
    detail = _string(block.extra, "detail")
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            return InputImage(image_url=f"data:{media_type};base64,{data}", detail=detail)
        case UrlSource(url=url):
            return InputImage(image_url=url, detail=detail)
        case FileSource(file_id=file_id):
            return InputImage(file_id=file_id, detail=detail)


def _document(block: DocumentBlock) -> Part:
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            return InputFile(file_data=f"data:{media_type};base64,{data}", filename=block.title)
        case FileSource(file_id=file_id):
            return InputFile(file_id=file_id, filename=block.title)
        case UrlSource(url=url):
            return InputFile(file_url=url, filename=block.title)
        case TextSource(data=data):
            return InputText(text=f"{block.title}\n\n{data}" if block.title else data)


def _string(extra: Extra | None, key: str) -> str | None:
    value = None if extra is None else extra.get(key)
    return _TEXT.decode(value) if value is not None and bytes(value).startswith(b'"') else None
