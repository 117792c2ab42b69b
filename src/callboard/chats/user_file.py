"""The file of one user, ``{username}.json``: a JSON object of conversations by their ids. No I/O.

Two editions are read. The later one holds messages; it is also what is written. The earlier one held none,
for they were kept elsewhere: a time with a fraction, the id of an assistant, and data that called itself a
``thread``. It is migrated on the way in. A record that cannot be read is told of, and takes no other with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from callboard.chats.conversation import ChatMessage, Conversation, ConversationData
from callboard.errors import InvalidRequest

NAMELESS = "New Chat"
_LEGACY = frozenset({"assistant_id"})


class BrokenRecord(Struct, frozen=True, kw_only=True):
    """A conversation that cannot be read, and why."""

    id: str
    reason: str


class UserFile(Struct, frozen=True, kw_only=True):
    """What a file holds.

    Attributes:
        migrated: Ids of the conversations that were of the earlier edition.
    """

    conversations: tuple[Conversation, ...]
    broken: tuple[BrokenRecord, ...] = ()
    migrated: tuple[str, ...] = ()


class _Data(Struct, frozen=True, kw_only=True):
    created_at: float | None = None
    metadata: dict[str, Raw] | None = None
    object: str = "conversation"


class _Message(Struct, frozen=True, kw_only=True):
    role: str
    text: str
    timestamp: float | None = None
    response_id: str | None = None
    incomplete: bool = False


class _Record(Struct, frozen=True, kw_only=True):
    data: _Data
    chat_name: str | None = None
    last_update: float | None = None
    messages: list[Raw] | None = None
    last_response_id: str | None = None


class _MessageOut(Struct, frozen=True, kw_only=True):
    role: str
    text: str
    timestamp: int
    response_id: str | None


class _Out(Struct, frozen=True, kw_only=True):
    data: ConversationData
    chat_name: str
    last_update: int
    messages: tuple[Raw, ...]
    last_response_id: str | None


_FILE = msgspec.json.Decoder(dict[str, Raw])
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_RECORD = msgspec.json.Decoder(_Record)
_MESSAGE = msgspec.json.Decoder(_Message)


def decode_user_file(data: bytes) -> UserFile:
    """What a file holds.

    Raises:
        InvalidRequest: It is no JSON object.
    """
    records = _records(data.removeprefix(b"\xef\xbb\xbf"))
    found: list[Conversation] = []
    broken: list[BrokenRecord] = []
    migrated: list[str] = []
    for conversation_id, raw in records.items():
        try:
            conversation, is_legacy = _conversation(conversation_id, raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
            broken.append(BrokenRecord(id=conversation_id, reason=_reason(error)))
            continue
        found.append(conversation)
        if is_legacy:
            migrated.append(conversation_id)
    return UserFile(conversations=tuple(found), broken=tuple(broken), migrated=tuple(migrated))


def encode_user_file(conversations: Iterable[Conversation]) -> bytes:
    """The file that holds ``conversations``."""
    records = {each.data.id: Raw(_encoded(each)) for each in conversations}
    return msgspec.json.format(msgspec.json.encode(records), indent=2) + b"\n"


def _records(data: bytes) -> Mapping[str, Raw]:
    try:
        return _FILE.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # what is no JSON in one record need not spoil the others
    try:
        records = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_file() from error
    if not isinstance(records, dict):
        raise _no_file()
    return {name: Raw(json.dumps(record).encode()) for name, record in records.items()}


def _no_file() -> InvalidRequest:
    return InvalidRequest("it is not a JSON object of conversations")


def _conversation(conversation_id: str, raw: Raw) -> tuple[Conversation, bool]:
    if not conversation_id:
        raise ValueError("it has no id")
    record, fields = _RECORD.decode(raw), _FIELDS.decode(raw)
    created = record.data.created_at if record.data.created_at is not None else record.last_update
    if created is None:
        raise ValueError("neither created_at nor last_update says when it was")
    created_at = int(created)
    updated = int(record.last_update if record.last_update is not None else created)
    messages = tuple(_message(each, updated) for each in record.messages or ())
    conversation = Conversation(
        data=ConversationData(
            id=conversation_id, created_at=created_at, metadata=_copied(record.data.metadata or {})
        ),
        chat_name=NAMELESS if record.chat_name is None else record.chat_name,
        last_update=updated,
        messages=messages,
        last_response_id=record.last_response_id,
        others=_others(fields, _Record),
    )
    is_legacy = record.data.object == "thread" or record.messages is None or not _LEGACY.isdisjoint(fields)
    return conversation, is_legacy


def _message(raw: Raw, fallback_s: int) -> ChatMessage:
    message = _MESSAGE.decode(raw)
    if message.role not in ("user", "assistant"):
        raise ValueError(f"a message has the role {message.role[:40]!r}")
    return ChatMessage(
        role=message.role,
        text=message.text,
        timestamp=fallback_s if message.timestamp is None else int(message.timestamp),
        response_id=message.response_id,
        incomplete=message.incomplete,
        others=_others(_FIELDS.decode(raw), _Message),
    )


def _others(fields: Mapping[str, Raw], kind: type[Struct]) -> dict[str, Raw]:
    known = frozenset(kind.__struct_fields__) | _LEGACY
    return _copied({name: value for name, value in fields.items() if name not in known})


def _copied(raws: Mapping[str, Raw]) -> dict[str, Raw]:
    """Apart from the file's bytes, which need not be held for them."""
    return {name: value.copy() for name, value in raws.items()}


def _encoded(conversation: Conversation) -> bytes:
    out = _Out(
        data=conversation.data,
        chat_name=conversation.chat_name,
        last_update=conversation.last_update,
        messages=tuple(Raw(_encoded_message(each)) for each in conversation.messages),
        last_response_id=conversation.last_response_id,
    )
    return _with(out, conversation.others)


def _encoded_message(message: ChatMessage) -> bytes:
    out = _MessageOut(
        role=message.role,
        text=message.text,
        timestamp=message.timestamp,
        response_id=message.response_id,
    )
    mark = {"incomplete": Raw(b"true")} if message.incomplete else {}
    return _with(out, {**mark, **message.others})


def _with(out: Struct, others: Mapping[str, Raw]) -> bytes:
    encoded = msgspec.json.encode(out)
    return encoded[:-1] + b"," + msgspec.json.encode(others)[1:] if others else encoded


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
