"""Items of the dialect as the domain's messages: what a client sent becomes a conversation.

- Instructions, wherever they stand, leave the conversation, in order.
- What follows each other of one role becomes one message: the dialect has an item for each call and each
  thought, the domain one message for all the model did at once. Results are the user's.
- Reasoning is kept as thinking: its text, or else its summary, and the encrypted form as the signature, with
  the id that it may be bound to. It is what `callboard.wire.openai_responses.response` made of such a block
  before.
- References name items that are kept; whoever decodes a request has looked for them before.
- Items of a type we do not know are kept as they came, for those who list them and for upstreams that speak
  this dialect. Nobody else is told of them.
- Requests for approval that are ours (`callboard.domain.approval`) are the calls that they were made for.
  Those of other servers stay as they came, and so do the answers to them.
- A summary of ours (`callboard.wire.openai_responses.compaction`) is what the user says in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw

from callboard.domain.approval import Answer, Approval, answer_block, is_ours, returned, unknown
from callboard.domain.arguments import tool_use
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    ResultContent,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    UrlSource,
)
from callboard.domain.item import ITEM_ID, instructions
from callboard.domain.message import Message
from callboard.domain.steps import IN_A_STEP, Steps, at_once
from callboard.errors import LocalWireError, NotFound
from callboard.wire.json import decode, refusal
from callboard.wire.openai_chat.incoming import data_url
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses import mcp_items
from callboard.wire.openai_responses.compaction import summary_in
from callboard.wire.openai_responses.opaque import opaque_item
from callboard.wire.openai_responses.phase import phased
from callboard.wire.openai_responses.schema import (
    ApprovalRequestItem,
    ApprovalResponseItem,
    CompactionItem,
    Content,
    FunctionCallItem,
    FunctionOutputItem,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    ItemKind,
    ItemReference,
    MessageItem,
    Part,
    ReasoningItem,
    RefusalPart,
)

_Role: TypeAlias = Literal["user", "assistant"]

_ANSWERS = ("_output", "_response", "_result")
"""What the names of items end with that answer a call; other items we do not know are the model's."""

_KIND = msgspec.json.Decoder(ItemKind)
_MESSAGE = msgspec.json.Decoder(MessageItem)
_CALL = msgspec.json.Decoder(FunctionCallItem)
_OUTPUT = msgspec.json.Decoder(FunctionOutputItem)
_REASONING = msgspec.json.Decoder(ReasoningItem)
_ASKED = msgspec.json.Decoder(ApprovalRequestItem)
_ANSWERED = msgspec.json.Decoder(ApprovalResponseItem)
_CALL_AGAIN = msgspec.json.Decoder(mcp_items.CallAgain)
_REFERENCE = msgspec.json.Decoder(ItemReference)
_COMPACTION = msgspec.json.Decoder(CompactionItem)

NOTHING_KEPT: Mapping[str, Raw] = {}


class Conversation:
    """Collects items; read what was collected when all were added.

    Args:
        kept: The items that may be referred to, by their ids.

    Attributes:
        system: All instructions, in order.
        items: One message for each item, instructions among them (`callboard.domain.item`).
        listed: MCP servers of ours whose tools the client has seen.
    """

    def __init__(self, kept: Mapping[str, Raw] = NOTHING_KEPT) -> None:
        self._kept = kept
        self.system: list[TextBlock] = []
        self.items: list[Message] = []
        self._runs: list[tuple[_Role, list[Block]]] = []
        self.listed: set[str] = set()
        self._asked_elsewhere: set[str] = set()

    @property
    def says_something(self) -> bool:
        """Whether anything was said so far, by whomever."""
        return any(blocks for _, blocks in self._runs)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return at_once(self.making_messages())

    def making_messages(self) -> Steps[tuple[Message, ...]]:
        """`messages` in steps."""
        messages: list[Message] = []
        for at, (role, blocks) in enumerate(self._runs):
            if at % IN_A_STEP == IN_A_STEP - 1:
                yield
            if blocks:
                messages.append(Message(role=role, content=tuple(blocks)))
        return tuple(messages)

    def say(self, text: str) -> None:
        """Take in what the user says."""
        self._put("user", TextBlock(text=text))

    def add(self, item: Raw, at: str) -> None:
        """Take in the item that stands ``at`` a place, e.g. ``input[2]``.

        Raises:
            LocalWireError: It makes no sense; ``param`` says where.
            NotFound: It refers to an item that is not kept.
        """
        at_once(self.adding(item, at))

    def adding(self, item: Raw, at: str) -> Steps[None]:
        """`add` in steps, for an item of many parts."""
        kind = decode(item, _KIND.decode, side="local", at=at)
        match kind.type or ("message" if kind.role is not None else None):
            case "message":
                yield from self._message(decode(item, _MESSAGE.decode, side="local", at=at), f"{at}.content")
            case "function_call":
                call = decode(item, _CALL.decode, side="local", at=at)
                self._put("assistant", tool_use(call.call_id, call.name, call.arguments))
            case "function_call_output":
                output = decode(item, _OUTPUT.decode, side="local", at=at)
                self._put("user", (yield from _result(output, f"{at}.output")))
            case "reasoning":
                self._put("assistant", *_thinking(decode(item, _REASONING.decode, side="local", at=at)))
            case "item_reference":
                self.add(self._referred(item, at), at)
            case "mcp_approval_request":
                self._asked(item, at)
            case "mcp_approval_response":
                self._answered(item, at)
            case "mcp_call" | "mcp_list_tools" as called:
                self._shown_call(called, item, at)
            case "compaction":
                self._summary(item, at)
            case None:
                raise refusal(
                    "it is required", "local", param=f"{at}.type", code="missing_required_parameter"
                )
            case other:
                self._keep(other, item)

    def _referred(self, item: Raw, at: str) -> Raw:
        wanted = decode(item, _REFERENCE.decode, side="local", at=at).id
        found = self._kept.get(wanted)
        if found is None:
            raise NotFound(f"Item with id {wanted!r} not found, to which '{at}' refers.")
        return found

    def _asked(self, item: Raw, at: str) -> None:
        wire = decode(item, _ASKED.decode, side="local", at=at)
        if not is_ours(wire.id):
            self._asked_elsewhere.add(wire.id)
            self._keep("mcp_approval_request", item)
            return
        approval = Approval(id=wire.id, server=wire.server_label, tool=wire.name)
        self._put("assistant", returned(approval, wire.arguments))

    def _answered(self, item: Raw, at: str) -> None:
        wire = decode(item, _ANSWERED.decode, side="local", at=at)
        asked = wire.approval_request_id
        if is_ours(asked):
            answer = Answer(approval_request_id=asked, approve=wire.approve, reason=wire.reason)
            self._put("user", answer_block(answer))
        elif asked in self._asked_elsewhere:
            self._keep("mcp_approval_response", item)
        else:
            raise unknown(asked)

    def _shown_call(self, kind: str, item: Raw, at: str) -> None:
        wire = decode(item, _CALL_AGAIN.decode, side="local", at=at)
        if not mcp_items.is_ours(wire.id):
            self._keep(kind, item)
        elif kind == "mcp_list_tools":
            self.listed.add(wire.server_label)
        else:
            call, result = mcp_items.call_again(wire)
            if call is not None:
                self._put("assistant", call)
            self._put("user", result)

    def _summary(self, item: Raw, at: str) -> None:
        summary = summary_in(decode(item, _COMPACTION.decode, side="local", at=at).encrypted_content)
        if summary is None:
            self._keep("compaction", item)
        else:
            self.say(summary)

    def _keep(self, kind: str, item: Raw) -> None:
        self._put("user" if kind.endswith(_ANSWERS) else "assistant", opaque_item(item))

    def _message(self, message: MessageItem, at: str) -> Steps[None]:
        if message.role in {"system", "developer"}:
            said = yield from _texts(message.content, at)
            self.system += said
            self.items.append(instructions(message.role, said))
            return
        content = yield from _blocks(message.content, at)
        if message.role == "assistant":
            words = [block for block in content if block != TextBlock(text="")]
            self._put("assistant", *(phased(block, message.phase) for block in words))
        elif content:
            self._put("user", *content)
        else:
            raise refusal("it is empty", "local", param=at)

    def _put(self, role: _Role, *blocks: Block) -> None:
        if blocks:
            self.items.append(Message(role=role, content=blocks))
        if self._runs and self._runs[-1][0] == role:
            self._runs[-1][1].extend(blocks)
        else:
            self._runs.append((role, list(blocks)))


def _thinking(item: ReasoningItem) -> tuple[ThinkingBlock | RedactedThinkingBlock, ...]:
    text = "".join(piece.text for piece in item.content or ())
    text = text or "\n\n".join(piece.text for piece in item.summary or ())
    encrypted = item.encrypted_content or ""
    extra = {ITEM_ID: Raw(msgspec.json.encode(item.id))} if item.id and encrypted else None
    if text:
        return (ThinkingBlock(thinking=text, signature=encrypted, extra=extra),)
    return (RedactedThinkingBlock(data=encrypted, extra=extra),) if encrypted else ()


def _result(item: FunctionOutputItem, at: str) -> Steps[ToolResultBlock]:
    blocks = yield from _blocks(item.output, at)
    content = tuple(block for block in blocks if block != TextBlock(text=""))
    return ToolResultBlock(tool_use_id=item.call_id, content=content)


def _texts(content: Content, at: str) -> Steps[tuple[TextBlock, ...]]:
    blocks = yield from _blocks(content, at)
    texts = tuple(block for block in blocks if isinstance(block, TextBlock))
    if len(texts) != len(blocks):
        raise refusal("instructions are text", "local", param=at)
    return texts


def _blocks(content: Content, at: str) -> Steps[tuple[ResultContent, ...]]:
    if isinstance(content, str):
        return (TextBlock(text=content),)
    blocks: list[ResultContent] = []
    for index, part in enumerate(content):
        if index % IN_A_STEP == IN_A_STEP - 1:
            yield
        blocks.append(_block(part, f"{at}[{index}]"))
    return tuple(blocks)


def _block(part: Part, at: str) -> ResultContent:
    match part:
        case InputText():
            return TextBlock(text=part.text)
        case RefusalPart():
            return TextBlock(text=part.refusal, extra={REFUSAL: TRUE})
        case InputImage():
            return _image(part, at)
        case InputFile():
            return _document(part, at)
        case InputAudio():
            return OpaqueBlock(type="input_audio", raw=Raw(msgspec.json.encode(part)))


def _image(part: InputImage, at: str) -> ImageBlock:
    extra = None if part.detail is None else {"detail": Raw(msgspec.json.encode(part.detail))}
    if part.image_url is not None:
        source = data_url(part.image_url) or UrlSource(url=part.image_url)
        return ImageBlock(source=source, extra=extra)
    if part.file_id is not None:
        return ImageBlock(source=FileSource(file_id=part.file_id), extra=extra)
    raise LocalWireError(f"Invalid value for '{at}': give image_url or file_id", param=at)


def _document(part: InputFile, at: str) -> DocumentBlock:
    source: Base64Source | FileSource | UrlSource
    if part.file_id is not None:
        source = FileSource(file_id=part.file_id)
    elif part.file_url is not None:
        source = UrlSource(url=part.file_url)
    elif part.file_data is not None:
        plain = Base64Source(media_type="application/pdf", data=part.file_data)
        source = data_url(part.file_data) or plain
    else:
        raise LocalWireError(f"Invalid value for '{at}': give file_id, file_url or file_data", param=at)
    return DocumentBlock(source=source, title=part.filename)
