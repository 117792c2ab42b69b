"""Messages of the dialect as the domain's: what a client sent becomes a conversation.

- Instructions, wherever they stand, leave the conversation, in order.
- The ``tool`` messages that follow an assistant's message, and the user's message after them, become one
  message.
- A legacy function call has no id; it gets one from its place, and the next function message answers it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec import Raw

from callboard.domain.arguments import tool_use
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    Extra,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.message import Message
from callboard.domain.steps import IN_A_STEP, Steps
from callboard.errors import LocalWireError
from callboard.wire.openai_chat.outgoing import ATTACHED, REFUSAL, TRUE
from callboard.wire.openai_chat.schema import (
    AssistantMessage,
    AudioPart,
    DeveloperMessage,
    FilePart,
    FunctionCall,
    FunctionMessage,
    ImagePart,
    ImageUrl,
    Part,
    RefusalPart,
    RequestMessage,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    VideoPart,
)

Fields: TypeAlias = dict[str, Raw]

_TEXT = msgspec.json.Decoder(str)
_PARTS = msgspec.json.Decoder(list[Fields])
_RAW_PARTS = msgspec.json.Decoder(list[Raw])
_FIELDS = msgspec.json.Decoder(Fields)


class Conversation:
    """Collects messages; read ``system`` and ``messages`` when all were added."""

    def __init__(self) -> None:
        self.system: list[TextBlock] = []
        self.messages: list[Message] = []
        self._results: list[ToolResultBlock] = []
        self._legacy_call = ""

    def adding(self, message: RequestMessage, fields: Fields, at: int) -> Steps[None]:
        """`add` in steps, for a message of many parts."""
        blocks = None
        if isinstance(message, UserMessage | AssistantMessage) and isinstance(message.content, tuple):
            blocks = yield from _making_blocks(message.content, fields, at)
        self.add(message, fields, at, blocks)

    def add(
        self, message: RequestMessage, fields: Fields, at: int, blocks: tuple[Block, ...] | None = None
    ) -> None:
        """Take in the message at index ``at``.

        Args:
            message: The message.
            fields: All that it came with.
            at: Where it stands.
            blocks: What was made of its content already.

        Raises:
            LocalWireError: It makes no sense; ``param`` says where.
        """
        match message:
            case UserMessage():
                self._user(message, fields, at, blocks)
            case AssistantMessage():
                self.flush()
                self._assistant(message, fields, at, blocks)
            case SystemMessage() | DeveloperMessage():
                self.system += _texts(message.content)
            case ToolMessage():
                content = _texts(message.content)
                self._results.append(_result(message.tool_call_id, content))
            case FunctionMessage():
                content = _texts(message.content or "")
                self._results.append(_result(self._legacy_call or message.name, content))

    def flush(self, *, after: tuple[Block, ...] = (), extra: Extra | None = None) -> None:
        """Make a message of the tool results that wait for one, and of what comes ``after`` them."""
        if self._results:
            results, content = _with_media(self._results, after)
            self.messages.append(Message(role="user", content=(*results, *content), extra=extra))
            self._results = []
        elif after:
            self.messages.append(Message(role="user", content=after, extra=extra))

    def _user(self, message: UserMessage, fields: Fields, at: int, blocks: tuple[Block, ...] | None) -> None:
        content = _blocks(message.content, fields, at) if blocks is None else blocks
        if not content:
            where = f"messages[{at}].content"
            raise LocalWireError(f"Invalid value for '{where}': it is empty", param=where)
        self.flush(after=content, extra=_unknown(fields, ("role", "content")))

    def _assistant(
        self, message: AssistantMessage, fields: Fields, at: int, blocks: tuple[Block, ...] | None
    ) -> None:
        content = list(_blocks(message.content, fields, at) if blocks is None else blocks)
        if message.refusal:
            content.append(TextBlock(text=message.refusal, extra={REFUSAL: TRUE}))
        calls = [tool_use_of(call) for call in message.tool_calls] if message.tool_calls else []
        if message.function_call is not None:
            self._legacy_call = f"call_function_{at}"
            calls.append(legacy_tool_use_of(message.function_call, self._legacy_call))
        for index, call in enumerate(calls):
            if not call.id or not call.name:
                where = f"messages[{at}].tool_calls[{index}]"
                raise LocalWireError(f"Invalid value for '{where}': it needs an id and a name", param=where)
        if calls:
            content = [block for block in content if block != TextBlock(text="")]
        content += calls
        if content:
            known = ("role", "content", "refusal", "tool_calls", "function_call")
            extra = _unknown(fields, known)
            self.messages.append(Message(role="assistant", content=tuple(content), extra=extra))


def tool_use_of(call: ToolCall) -> ToolUseBlock:
    """A call as a block; an id or name that is missing is empty."""
    return tool_use(call.id or "", call.function.name or "", arguments_text(call.function.arguments))


def legacy_tool_use_of(call: FunctionCall, call_id: str) -> ToolUseBlock:
    """A legacy call as a block."""
    return tool_use(call_id, call.name or "", arguments_text(call.arguments))


def arguments_text(arguments: bytes | Raw) -> str:
    """Arguments as text: JSON in a string, as the dialect has it, or the object itself, or nothing."""
    raw = bytes(arguments)
    if raw.startswith(b'"'):
        return _TEXT.decode(raw)
    return "" if raw == b"null" else raw.decode()


def data_url(url: str) -> Base64Source | None:
    """The source that a base64 data URL (RFC 2397) holds; None for other URLs."""
    head, comma, data = url.partition(",")
    if not comma or head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return None
    return Base64Source(media_type=head[5:-7].partition(";")[0], data=data)


def _texts(content: str | Sequence[TextPart]) -> tuple[TextBlock, ...]:
    if isinstance(content, str):
        return (TextBlock(text=content),)
    return tuple(TextBlock(text=part.text) for part in content)


def _result(call_id: str, content: tuple[TextBlock, ...]) -> ToolResultBlock:
    empty = content in ((), (TextBlock(text=""),))
    return ToolResultBlock(tool_use_id=call_id, content=() if empty else content)


def _blocks(content: str | Sequence[Part] | None, fields: Fields, at: int) -> tuple[Block, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextBlock(text=content),)
    all_fields = _PARTS.decode(fields["content"])
    return tuple(
        _block(part, part_fields, f"messages[{at}].content[{index}]")
        for index, (part, part_fields) in enumerate(zip(content, all_fields, strict=True))
    )


def _making_blocks(content: Sequence[Part], fields: Fields, at: int) -> Steps[tuple[Block, ...]]:
    """`_blocks` in steps."""
    blocks: list[Block] = []
    raw_parts = _RAW_PARTS.decode(fields["content"])
    for index, (part, raw) in enumerate(zip(content, raw_parts, strict=True)):
        if index % IN_A_STEP == 0:
            yield
        blocks.append(_block(part, _FIELDS.decode(raw), f"messages[{at}].content[{index}]"))
    return tuple(blocks)


def _block(part: Part, fields: Fields, at: str) -> Block:
    match part:
        case TextPart():
            return TextBlock(text=part.text, extra=_unknown(fields, ("type", "text")))
        case RefusalPart():
            return TextBlock(text=part.refusal, extra={REFUSAL: TRUE})
        case ImagePart():
            return _image(part, _unknown(fields, ("type", "image_url")))
        case FilePart():
            return _document(part, _unknown(fields, ("type", "file")), at)
        case AudioPart():
            return OpaqueBlock(type="input_audio", raw=Raw(msgspec.json.encode(fields)))
        case VideoPart():
            return OpaqueBlock(type="video_url", raw=Raw(msgspec.json.encode(fields)))


def _image(part: ImagePart, extra: Extra | None) -> ImageBlock:
    image = ImageUrl(url=part.image_url) if isinstance(part.image_url, str) else part.image_url
    source = data_url(image.url) or UrlSource(url=image.url)
    if image.detail is not None:
        extra = {**(extra or {}), "detail": Raw(msgspec.json.encode(image.detail))}
    return ImageBlock(source=source, extra=extra)


def _document(part: FilePart, extra: Extra | None, at: str) -> DocumentBlock:
    source: Base64Source | FileSource
    if part.file.file_id is not None:
        source = FileSource(file_id=part.file.file_id)
    elif part.file.file_data is not None:
        plain = Base64Source(media_type="application/pdf", data=part.file.file_data)
        source = data_url(part.file.file_data) or plain
    else:
        raise LocalWireError(f"Invalid value for '{at}.file': give file_id or file_data", param=f"{at}.file")
    return DocumentBlock(source=source, title=part.file.filename, extra=extra)


def _with_media(
    results: list[ToolResultBlock], content: tuple[Block, ...]
) -> tuple[list[ToolResultBlock], tuple[Block, ...]]:
    """Give attachments back to the results they came from, where our own label says whose they are.

    The inverse of what `callboard.wire.openai_chat.outgoing` does, so that a conversation survives both ways.
    """
    owners = {result.tool_use_id: at for at, result in enumerate(results)}
    found: dict[int, list[ImageBlock | DocumentBlock]] = {}
    start = 0
    while start < len(content) and (label := _label(content[start])):
        count, at = int(label.group(1)), owners.get(label.group(2))
        end = start + 1 + count
        media = [block for block in content[start + 1 : end] if isinstance(block, ImageBlock | DocumentBlock)]
        if at is None or len(media) != count:
            break
        found.setdefault(at, []).extend(media)
        start = end
    returned = list(results)
    for at, attached in found.items():
        returned[at] = msgspec.structs.replace(returned[at], content=(*returned[at].content, *attached))
    return returned, content[start:]


def _label(block: Block) -> re.Match[str] | None:
    return ATTACHED.fullmatch(block.text) if isinstance(block, TextBlock) else None


def _unknown(fields: Fields, known: Sequence[str]) -> Extra | None:
    if len(fields) == 2:  # the two that every message and part must have
        return None
    return {name: value.copy() for name, value in fields.items() if name not in known} or None
