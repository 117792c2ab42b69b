"""Items as the dialect has them, for those who list what a response was asked, or what a conversation holds.

Source: OpenAI API reference, "List input items", "List items" of conversations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from callboard.domain.approval import answer_in, approval_of
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
from callboard.domain.fold import LOGPROBS
from callboard.domain.item import input_id, instructing_role, prefix_of, taken_apart
from callboard.domain.message import Message
from callboard.errors import NotFound
from callboard.wire.openai_chat.outgoing import is_refusal
from callboard.wire.openai_responses.opaque import item_in
from callboard.wire.openai_responses.phase import phase_of

PAGE = 20
"""Items in a page unless more or fewer are asked for."""

_encode = msgspec.json.Encoder().encode
_OBJECT = msgspec.json.Decoder(dict[str, object])


class Item(Struct, frozen=True, kw_only=True, gc=False):
    """An item with its name, encoded."""

    id: str
    data: Raw


def input_items(response_id: str, messages: Sequence[Message]) -> list[Item]:
    """The items of a response's input, in order. Their ids follow from its own, so they stay the same."""
    return [
        encode_item(input_id(response_id, item, place), item)
        for place, item in enumerate(taken_apart(messages))
    ]


def encode_item(item_id: str, item: Message) -> Item:
    """An item (`callboard.domain.item`) as the dialect has it."""
    block = item.content[0] if item.content else TextBlock(text="")
    if prefix_of(block) == "msg":
        role = instructing_role(item) or item.role
        content = [part for each in item.content if (part := _part(each, item.role)) is not None]
        fields: dict[str, object] = {
            "type": "message",
            "status": "completed",
            "role": role,
            "content": content,
            **_phase(item),
        }
    else:
        fields = _approval_fields(block) or _fields(block)
    return Item(id=item_id, data=Raw(_encode({**fields, "id": item_id})))


def encode_page(items: Sequence[Item], *, limit: int, after: str | None, before: str | None) -> bytes:
    """A page of ``items``, which are in order: those behind ``after`` and in front of ``before``.

    Raises:
        NotFound: There is no item of either name.
    """
    first = 0 if after is None else _place(items, after) + 1
    last = len(items) if before is None else _place(items, before)
    page = items[first:last][:limit]
    return encode_list(page, has_more=len(page) < max(0, last - first))


def encode_list(page: Sequence[Item], *, has_more: bool) -> bytes:
    """A page as it is; the ids of an empty one are empty, as they have to be text."""
    return _encode(
        {
            "object": "list",
            "data": [item.data for item in page],
            "first_id": page[0].id if page else "",
            "last_id": page[-1].id if page else "",
            "has_more": has_more,
        }
    )


def _place(items: Sequence[Item], item_id: str) -> int:
    for place, item in enumerate(items):
        if item.id == item_id:
            return place
    raise NotFound(f"Item with id {item_id!r} not found.")


def _phase(item: Message) -> dict[str, object]:
    """The phase of a message; nothing where its parts do not agree."""
    phases = {phase_of(block) for block in item.content if isinstance(block, TextBlock)}
    phase = phases.pop() if len(phases) == 1 else None
    return {} if phase is None else {"phase": phase}


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
        logprobs = (block.extra or {}).get(LOGPROBS, Raw(b"[]"))
        return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": logprobs}
    return {"type": "input_text", "text": block.text}


def _fields(block: Block) -> dict[str, object]:
    """What an item that is no message says, but for its id."""
    match block:
        case ToolUseBlock():
            call = {"call_id": block.id, "name": block.name, "arguments": arguments_of(block)}
            return {"type": "function_call", "status": "completed", **call}
        case ToolResultBlock():
            output = "".join(part.text for part in block.content if isinstance(part, TextBlock))
            given: object = output
            if any(not isinstance(part, TextBlock) for part in block.content):
                given = [part for each in block.content if (part := _part(each, "user")) is not None]
            result = {"call_id": block.tool_use_id, "output": given}
            return {"type": "function_call_output", "status": "completed", **result}
        case ThinkingBlock():
            summary = [{"type": "summary_text", "text": block.thinking}]
            return {"type": "reasoning", "summary": summary, **_encrypted(block.signature)}
        case RedactedThinkingBlock():
            return {"type": "reasoning", "summary": [], **_encrypted(block.data)}
        case OpaqueBlock():
            return _OBJECT.decode(item_in(block))
        case _:
            raise TypeError(f"{type(block).__name__} is part of a message")


def _approval_fields(block: Block) -> dict[str, object]:
    """What a request for approval says, or an answer to one; empty for everything else."""
    approval, answer = approval_of(block), answer_in(block)
    if answer is not None:
        said = {"approval_request_id": answer.approval_request_id, "approve": answer.approve}
        return {"type": "mcp_approval_response", **said, "reason": answer.reason}
    if approval is None or not isinstance(block, ToolUseBlock):
        return {}
    asked = {"server_label": approval.server, "name": approval.tool}
    return {"type": "mcp_approval_request", **asked, "arguments": arguments_of(block).lstrip()}


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
