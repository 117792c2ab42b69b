"""A chat conversation as the front shows it and as its file holds it: values, and their way into items.

The store keeps items (`callboard.domain.item`); a chat shows messages of text. What a message has beside its
text goes with the item, under one key of `Message.extra` that no provider is told of. So a file that is
imported comes out again as it was, fields that we do not know included.

What a turn has appended has names that say which response it is from, and needs no such key. A turn may
append several texts, with the rounds of its tools between them; the chat shows them as one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import TextBlock
from callboard.domain.item import appended_id, instructing_role, owner_of
from callboard.domain.message import Message, text_of
from callboard.errors import InvalidRequest
from callboard.store.records import ConversationRecord, ItemRecord

MARK = "chat"
"""Key in the ``extra`` of a message, and in the metadata of a conversation: what only a chat knows of it."""

NOTHING: Mapping[str, Raw] = {}


class ChatMessage(Struct, frozen=True, kw_only=True):
    """One message.

    Attributes:
        role: ``user`` or ``assistant``.
        timestamp: Seconds since the epoch.
        response_id: Of the response that an assistant's message came with; one that was cut short has none,
            because nothing can follow it.
        incomplete: Whether it was cut short.
        others: Further fields that its file had.
    """

    role: str
    text: str
    timestamp: int
    response_id: str | None = None
    incomplete: bool = False
    others: Mapping[str, Raw] = NOTHING


class ConversationData(Struct, frozen=True, kw_only=True):
    """What the front calls the data of a conversation; ``created_at`` is in seconds since the epoch."""

    id: str
    created_at: int
    metadata: Mapping[str, Raw] = NOTHING
    object: str = "conversation"


class ConversationSummary(Struct, frozen=True, kw_only=True):
    """A conversation in a list: no messages."""

    data: ConversationData
    chat_name: str
    last_update: int


class Conversation(Struct, frozen=True, kw_only=True):
    """A whole conversation.

    Attributes:
        last_update: Seconds since the epoch.
        last_response_id: Of the latest whole answer; the next turn follows it.
        others: Further fields that its file had.
    """

    data: ConversationData
    chat_name: str
    last_update: int
    messages: tuple[ChatMessage, ...] = ()
    last_response_id: str | None = None
    others: Mapping[str, Raw] = NOTHING


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a conversation's file had that the store has no place for.

    Attributes:
        metadata: Those of its metadata that are no strings.
        others: Fields that we do not know.
        last_response_id: Where no message has one.
    """

    metadata: dict[str, Raw] = {}
    others: dict[str, Raw] = {}
    last_response_id: str | None = None


class _Mark(Struct, frozen=True, kw_only=True, omit_defaults=True):
    response_id: str | None = None
    incomplete: bool = False
    others: dict[str, Raw] = {}


_MARK = msgspec.json.Decoder(_Mark)
_KEPT = msgspec.json.Decoder(Kept)
_PLAIN = _Mark()
_NOTHING_KEPT = Kept()


def item_of(conversation_id: str, message: ChatMessage, place: int, *, item_id: str = "") -> ItemRecord:
    """``message`` as the item at ``place`` of all that the conversation ever had.

    Raises:
        InvalidRequest: Its role is none of ours, or its text cannot be encoded.
    """
    if message.role not in ("user", "assistant"):
        raise InvalidRequest(f"A message is the user's or the assistant's, not {message.role!r}.")
    try:
        message.text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"The text has half a character at position {error.start}.") from error
    mark = _Mark(response_id=message.response_id, incomplete=message.incomplete, others=dict(message.others))
    said = Message(
        role="user" if message.role == "user" else "assistant",
        content=(TextBlock(text=message.text),),
        extra=None if mark == _PLAIN else {MARK: Raw(msgspec.json.encode(mark))},
    )
    return ItemRecord(
        id=item_id or appended_id(conversation_id, said, place), message=said, created_at_s=message.timestamp
    )


def messages_of(items: Iterable[ItemRecord]) -> list[ChatMessage]:
    """The messages among ``items``, in their order; calls, thoughts and instructions are none."""
    found: list[ChatMessage] = []
    from_turn: str | None = None
    for item in items:
        message = item.message
        if not any(isinstance(block, TextBlock) for block in message.content) or instructing_role(message):
            continue
        mark = _mark_of(message)
        owner = owner_of(item.id) if message.role == "assistant" and mark is None else None
        response_id = owner.response_id or None if owner is not None else None
        text = text_of(message.content)
        if response_id is not None and response_id == from_turn:
            found[-1] = msgspec.structs.replace(found[-1], text=found[-1].text + text)
            continue
        from_turn = response_id
        mark = mark or _PLAIN
        found.append(
            ChatMessage(
                role=message.role,
                text=text,
                timestamp=item.created_at_s,
                response_id=response_id or mark.response_id,
                incomplete=mark.incomplete,
                others=mark.others,
            )
        )
    return found


def last_response_id(messages: Iterable[ChatMessage]) -> str | None:
    """The id of the latest answer among ``messages`` that the next turn can follow."""
    return next(
        (each.response_id for each in reversed([*messages]) if each.role == "assistant" and each.response_id),
        None,
    )


def summary_of(record: ConversationRecord) -> ConversationSummary:
    """A stored conversation as a list shows it."""
    plain = {name: Raw(msgspec.json.encode(value)) for name, value in record.metadata.items() if name != MARK}
    return ConversationSummary(
        data=ConversationData(
            id=record.id, created_at=record.created_at_s, metadata={**plain, **kept_of(record).metadata}
        ),
        chat_name=record.title,
        last_update=record.updated_at_s,
    )


def conversation_of(record: ConversationRecord, items: Iterable[ItemRecord]) -> Conversation:
    """A stored conversation with all its items, as its file would hold it."""
    summary, kept = summary_of(record), kept_of(record)
    messages = tuple(messages_of(items))
    return Conversation(
        data=summary.data,
        chat_name=summary.chat_name,
        last_update=summary.last_update,
        messages=messages,
        last_response_id=last_response_id(messages) or kept.last_response_id,
        others=kept.others,
    )


def record_of(conversation: Conversation, tenant: str) -> ConversationRecord:
    """The stored conversation that ``conversation`` is to be, without its items."""
    plain, others = _parted(conversation.data.metadata)
    known = last_response_id(conversation.messages)
    kept = Kept(
        metadata=others,
        others=dict(conversation.others),
        last_response_id=conversation.last_response_id if known is None else None,
    )
    if kept != _NOTHING_KEPT:
        plain[MARK] = msgspec.json.encode(kept).decode()
    return ConversationRecord(
        id=conversation.data.id,
        tenant=tenant,
        created_at_s=conversation.data.created_at,
        updated_at_s=conversation.last_update,
        title=conversation.chat_name,
        metadata=plain,
    )


def kept_of(record: ConversationRecord) -> Kept:
    """What the conversation's file had beside; a client may have written anything in its place."""
    try:
        return _KEPT.decode(record.metadata.get(MARK, "{}"))
    except msgspec.MsgspecError:
        return _NOTHING_KEPT


def _parted(metadata: Mapping[str, Raw]) -> tuple[dict[str, str], dict[str, Raw]]:
    plain: dict[str, str] = {}
    others: dict[str, Raw] = {}
    for name, value in metadata.items():
        decoded = msgspec.json.decode(value)
        if isinstance(decoded, str) and name != MARK:
            plain[name] = decoded
        else:
            others[name] = value
    return plain, others


def _mark_of(message: Message) -> _Mark | None:
    raw = None if message.extra is None else message.extra.get(MARK)
    if raw is None:
        return None
    try:
        return _MARK.decode(raw)
    except msgspec.MsgspecError:
        return None
