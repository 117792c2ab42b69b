"""A conversation as the dialect's items, for those who list what a response was asked.

Source: OpenAI API reference, "List input items".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from callboard.domain.arguments import arguments_of
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.message import Message
from callboard.errors import NotFound
from callboard.wire.openai_chat.outgoing import is_refusal

PAGE = 20
"""Items in a page unless more or fewer are asked for."""

_encode = msgspec.json.Encoder().encode


class Item(Struct, frozen=True, kw_only=True):
    """An item with its name, encoded."""

    id: str
    data: Raw


def input_items(response_id: str, messages: Sequence[Message]) -> list[Item]:
    """The items of ``messages``, in order. Their ids follow from the response's, so they stay the same."""
    suffix = response_id.removeprefix("resp_")
    found: list[Item] = []
    for message in messages:
        said: list[dict[str, object]] = []
        for block in message.content:
            part = _part(block, message.role)
            if part is not None:
                said.append(part)
                continue
            _put_message(found, message.role, said, suffix)
            _put(found, _item(block), suffix)
        _put_message(found, message.role, said, suffix)
    return found


def encode_page(items: Sequence[Item], *, limit: int, after: str | None, before: str | None) -> bytes:
    """A page of ``items``, which are in order: those behind ``after`` and in front of ``before``.

    Raises:
        NotFound: There is no item of either name.
    """
    first = 0 if after is None else _place(items, after) + 1
    last = len(items) if before is None else _place(items, before)
    page = items[first:last][:limit]
    return _encode(
        {
            "object": "list",
            "data": [item.data for item in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(page) < max(0, last - first),
        }
    )


def _place(items: Sequence[Item], item_id: str) -> int:
    for place, item in enumerate(items):
        if item.id == item_id:
            return place
    raise NotFound(f"Item with id {item_id!r} not found.")


def _put_message(found: list[Item], role: str, said: list[dict[str, object]], suffix: str) -> None:
    if said:
        item: dict[str, object] = {
            "type": "message",
            "status": "completed",
            "role": role,
            "content": list(said),
        }
        _put(found, ("msg", item), suffix)
        said.clear()


def _put(found: list[Item], named: tuple[str, dict[str, object]] | None, suffix: str) -> None:
    if named is None:
        return
    prefix, fields = named
    item_id = f"{prefix}_{suffix}_in{len(found)}"
    found.append(Item(id=item_id, data=Raw(_encode({"id": item_id, **fields}))))


def _part(block: Block, role: str) -> dict[str, object] | None:
    """A block as a part of a message; None where it is an item of its own."""
    match block:
        case TextBlock():
            return _text(block, role)
        case ImageBlock():
            detail = (block.extra or {}).get("detail", Raw(b'"auto"'))
            return {"type": "input_image", "detail": detail, **_image(block)}
        case DocumentBlock():
            return {"type": "input_file", **_file(block)}
        case OpaqueBlock(type="input_audio"):
            return msgspec.json.decode(block.raw, type=dict[str, object])
        case _:
            return None


def _text(block: TextBlock, role: str) -> dict[str, object]:
    if is_refusal(block):
        return {"type": "refusal", "refusal": block.text}
    if role == "assistant":
        return {"type": "output_text", "text": block.text, "annotations": []}
    return {"type": "input_text", "text": block.text}


def _item(block: Block) -> tuple[str, dict[str, object]] | None:
    match block:
        case ToolUseBlock():
            call = {"call_id": block.id, "name": block.name, "arguments": arguments_of(block)}
            return "fc", {"type": "function_call", "status": "completed", **call}
        case ToolResultBlock():
            output = "".join(part.text for part in block.content if isinstance(part, TextBlock))
            given: object = output
            if any(not isinstance(part, TextBlock) for part in block.content):
                given = [part for each in block.content if (part := _part(each, "user")) is not None]
            result = {"call_id": block.tool_use_id, "output": given}
            return "fco", {"type": "function_call_output", "status": "completed", **result}
        case ThinkingBlock():
            summary = [{"type": "summary_text", "text": block.thinking}]
            return "rs", {"type": "reasoning", "summary": summary, **_encrypted(block.signature)}
        case RedactedThinkingBlock():
            return "rs", {"type": "reasoning", "summary": [], **_encrypted(block.data)}
        case _:
            return None


def _encrypted(content: str) -> dict[str, object]:
    return {"encrypted_content": content} if content else {}


def _image(block: ImageBlock) -> dict[str, object]:
    match block.source:
        case Base64Source(media_type=media, data=data):
            return {"image_url": f"data:{media};base64,{data}"}
        case UrlSource(url=url):
            return {"image_url": url}
        case FileSource(file_id=file_id):
            return {"file_id": file_id}


def _file(block: DocumentBlock) -> dict[str, object]:
    named: dict[str, object] = {} if block.title is None else {"filename": block.title}
    match block.source:
        case Base64Source(media_type=media, data=data):
            return {"file_data": f"data:{media};base64,{data}", **named}
        case UrlSource(url=url):
            return {"file_url": url, **named}
        case FileSource(file_id=file_id):
            return {"file_id": file_id, **named}
        case text:
            return {"file_data": text.data, **named}
