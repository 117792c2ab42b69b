"""Messages and blocks as JSON: exactly Anthropic's shape, and lossless.

What we do not interpret survives: unknown fields go to ``extra`` and come back flat, beside the known ones;
blocks of unknown types become `OpaqueBlock`s. Text that stands where blocks could is normalised to one text
block.

Source: Anthropic Messages API, "Create a Message", input messages (2023-06-01 version of the API).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import (
    Block,
    DocumentBlock,
    Extra,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.message import Message
from callboard.errors import LocalWireError

S = TypeVar("S", bound=Struct)


class _MessageFields(Struct):
    role: Literal["user", "assistant"]
    content: str | tuple[Raw, ...]


class _ToolResultFields(Struct):
    tool_use_id: str
    content: str | tuple[Raw, ...] | None = None
    is_error: bool | None = None


_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_TAG = msgspec.json.Decoder(str)
_MESSAGES = msgspec.json.Decoder(tuple[Raw, ...])
_PLAIN: Mapping[str, msgspec.json.Decoder[Block]] = {
    "text": msgspec.json.Decoder(TextBlock),
    "image": msgspec.json.Decoder(ImageBlock),
    "document": msgspec.json.Decoder(DocumentBlock),
    "tool_use": msgspec.json.Decoder(ToolUseBlock),
    "thinking": msgspec.json.Decoder(ThinkingBlock),
    "redacted_thinking": msgspec.json.Decoder(RedactedThinkingBlock),
}
_IN_RESULTS = (TextBlock, ImageBlock, DocumentBlock, OpaqueBlock)


def encode_messages(messages: tuple[Message, ...]) -> bytes:
    """A JSON array of messages."""
    return msgspec.json.encode([_message_fields(message) for message in messages])


def encode_message(message: Message) -> bytes:
    """One message as a JSON object."""
    return msgspec.json.encode(_message_fields(message))


def encode_block(block: Block) -> bytes:
    """One block as a JSON object."""
    return msgspec.json.encode(_block_fields(block))


def decode_messages(data: bytes | Raw) -> tuple[Message, ...]:
    """What `encode_messages` wrote, or any array of messages in the dialect.

    Raises:
        LocalWireError: ``data`` is none; ``param`` names the place, e.g. ``messages[2].content[0]``.
    """
    items = _decoded(_MESSAGES, data, "messages")
    return tuple(decode_message(item, at=f"messages[{index}]") for index, item in enumerate(items))


def decode_message(data: bytes | Raw, *, at: str = "message") -> Message:
    """One message; ``at`` is its place, for errors.

    Raises:
        LocalWireError: ``data`` is none.
    """
    known, extra = _split(data, _MessageFields, at)
    content = _content(known.content, f"{at}.content")
    return Message(role=known.role, content=content, extra=extra)


def decode_block(data: bytes | Raw, *, at: str = "block") -> Block:
    """One block; ``at`` is its place, for errors.

    Raises:
        LocalWireError: ``data`` is no JSON object with a type, or lacks what its type must have.
    """
    fields = _decoded(_FIELDS, data, at)
    kind = _decoded(_TAG, fields.pop("type", Raw(b"null")), f"{at}.type")
    if kind == "tool_result":
        return _tool_result(data, at)
    decoder = _PLAIN.get(kind)
    if decoder is None:
        return OpaqueBlock(type=kind, raw=Raw(bytes(data)))
    # A field of the dialect that is called "extra" must not be taken for ours.
    source = data if "extra" not in fields else _rest(fields, b"extra", kind)
    try:
        block = decoder.decode(source)
    except msgspec.ValidationError as error:
        if str(error).endswith("`$.source.type`"):
            return OpaqueBlock(type=kind, raw=Raw(bytes(data)))
        raise LocalWireError(f"{at}: {error}", param=at) from error
    names = block.__struct_fields__[:-1]
    extra = {name: value.copy() for name, value in fields.items() if name not in names}
    if isinstance(block, ToolUseBlock) and not bytes(block.input).startswith(b"{"):
        raise LocalWireError(f"{at}.input must be an object", param=f"{at}.input")
    return msgspec.structs.replace(block, extra=extra or None)


def _tool_result(data: bytes | Raw, at: str) -> ToolResultBlock:
    known, extra = _split(data, _ToolResultFields, at, but="type")
    content = _content(() if known.content is None else known.content, f"{at}.content")
    inner = tuple(block for block in content if isinstance(block, _IN_RESULTS))
    if len(inner) != len(content):
        raise LocalWireError(f"{at}.content holds what no tool result can", param=f"{at}.content")
    return ToolResultBlock(
        tool_use_id=known.tool_use_id, content=inner, is_error=bool(known.is_error), extra=extra
    )


def _content(content: str | tuple[Raw, ...], at: str) -> tuple[Block, ...]:
    if isinstance(content, str):
        return (TextBlock(text=content),)
    return tuple(decode_block(item, at=f"{at}[{index}]") for index, item in enumerate(content))


def _split(data: bytes | Raw, kind: type[S], at: str, *, but: str = "") -> tuple[S, Extra | None]:
    """The known fields as a struct, and the others."""
    known = _decoded(msgspec.json.Decoder(kind), data, at)
    fields = _decoded(_FIELDS, data, at)
    names = kind.__struct_fields__
    extra = {name: value.copy() for name, value in fields.items() if name not in names and name != but}
    return known, extra or None


def _rest(fields: Mapping[str, Raw], name: bytes, kind: str) -> bytes:
    kept: dict[str, object] = {key: value for key, value in fields.items() if key.encode() != name}
    return msgspec.json.encode({"type": kind, **kept})


D = TypeVar("D")


def _decoded(decoder: msgspec.json.Decoder[D], data: bytes | Raw, at: str) -> D:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LocalWireError(f"{at}: {error}", param=at) from error


def _message_fields(message: Message) -> dict[str, object]:
    content = [_block_fields(block) for block in message.content]
    return {**(message.extra or {}), "role": message.role, "content": content}


def _block_fields(block: Block) -> Raw | dict[str, object]:
    if isinstance(block, OpaqueBlock):
        return block.raw
    fields: dict[str, object] = {"type": block.__struct_config__.tag}
    for name in block.__struct_fields__[:-1]:
        value = getattr(block, name)
        if value is not None:
            fields[name] = value
    if isinstance(block, ToolResultBlock):
        fields["content"] = [_block_fields(inner) for inner in block.content]
    return {**(block.extra or {}), **fields}
