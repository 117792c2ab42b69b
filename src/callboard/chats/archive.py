"""Files of users into the store and out of it.

Before anything is imported, the file is copied beside itself, once for each state it is in. Each conversation
is one commit. One that the store has is never written over: what a file has beyond it is appended, and where
the two tell different stories the store's stays and the difference is reported. So importing twice changes
nothing, and nothing is lost by it.

An export is written beside its place, synced, and moved there: whoever looks sees the file before or the file
after, and never half of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread
from msgspec import Struct

from callboard.chats.conversation import ChatMessage, Conversation, item_of, record_of
from callboard.chats.conversations import ConversationManager
from callboard.chats.refusals import checked_username
from callboard.chats.user_file import BrokenRecord, decode_user_file, encode_user_file
from callboard.errors import AlreadyExists, ConfigurationError, Conflict, InvalidRequest
from callboard.store.changes import AppendItems, Change, PutConversation
from callboard.store.records import ConversationRecord
from callboard.store.store import Store
from callboard.whole_file import write_whole

SUFFIX = ".json"


class ImportReport(Struct, frozen=True, kw_only=True):
    """What became of a file's conversations, by their ids.

    Attributes:
        user: Whose they are now.
        backup: Where the copy of the file is.
        new: Were not there before.
        extended: Have got messages that only the file had.
        unchanged: Were there already.
        migrated: Were of the earlier edition.
        left: Could not be imported, and why.
    """

    user: str
    backup: str
    new: tuple[str, ...] = ()
    extended: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    migrated: tuple[str, ...] = ()
    left: tuple[BrokenRecord, ...] = ()


class ExportReport(Struct, frozen=True, kw_only=True):
    """What was written."""

    user: str
    conversations: int
    messages: int


def user_of(path: Path, given: str | None = None) -> str:
    """Whose file ``path`` is: ``given``, or by its name.

    Raises:
        ConfigurationError: Neither names a user.
    """
    name = given if given is not None else path.name.removesuffix(SUFFIX)
    if given is None and path.suffix != SUFFIX:
        raise ConfigurationError(f"{path.name} is not called USER.json; say whose it is with --user")
    try:
        return checked_username(name)
    except InvalidRequest as error:
        raise ConfigurationError(f"{name!r} cannot be a user: {error}") from error


async def import_file(store: Store, path: Path, username: str) -> ImportReport:
    """Import the file at ``path`` for ``username``.

    Raises:
        ConfigurationError: It cannot be read, or no copy of it can be made.
        InvalidRequest: It is no JSON object. A copy was made, and nothing else.
        StoreUnavailable: Not everything was imported; it may be tried again.
    """
    data = await to_thread.run_sync(_read, path)
    backup = await to_thread.run_sync(_back_up, path, data)
    try:
        file = decode_user_file(data)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error}; a copy is at {backup}, nothing was imported") from error
    outcomes: dict[str, list[str]] = {"new": [], "extended": [], "unchanged": []}
    left = list(file.broken)
    for conversation in file.conversations:
        try:
            outcomes[await _import(store, conversation, checked_username(username))].append(
                conversation.data.id
            )
        except (Conflict, InvalidRequest) as error:
            left.append(BrokenRecord(id=conversation.data.id, reason=str(error)))
    return ImportReport(
        user=username,
        backup=str(backup),
        new=tuple(outcomes["new"]),
        extended=tuple(outcomes["extended"]),
        unchanged=tuple(outcomes["unchanged"]),
        migrated=file.migrated,
        left=tuple(left),
    )


async def export_file(store: Store, path: Path, username: str) -> ExportReport:
    """Write all conversations of ``username`` to ``path``, in the place of what is there.

    Raises:
        ConfigurationError: It cannot be written; what was there is as it was.
        StoreUnavailable: The store cannot be read.
    """
    manager = ConversationManager(store)
    found: list[Conversation] = []
    for conversation_id in await manager.list_conversations(username):
        conversation = await manager.get_conversation(username, conversation_id)
        if conversation is not None:
            found.append(conversation)
    await to_thread.run_sync(partial(write_whole, path, encode_user_file(found)))
    messages = sum(len(each.messages) for each in found)
    return ExportReport(user=username, conversations=len(found), messages=messages)


async def _import(store: Store, conversation: Conversation, username: str) -> str:
    """Import one conversation; how it came in.

    Raises:
        Conflict: It tells another story than the store's, or its id is somebody else's.
    """
    there = await ConversationManager(store).get_conversation(username, conversation.data.id)
    if there is None:
        record = record_of(conversation, username)
        more = _append(record, 0, conversation.messages)
        try:
            await store.commit((PutConversation(record=record), *more))
        except AlreadyExists as error:
            raise AlreadyExists("its id is taken") from error
        return "new"
    ours, theirs = _story(there.messages), _story(conversation.messages)
    if ours[: len(theirs)] == theirs:
        return "unchanged"
    stored = await store.conversation(username, conversation.data.id)
    if stored is None or theirs[: len(ours)] != ours:
        raise Conflict("the store has it with other messages, and keeps those")
    await store.commit(_append(stored, stored.version, conversation.messages[len(ours) :]))
    return "extended"


def _append(record: ConversationRecord, version: int, messages: Sequence[ChatMessage]) -> tuple[Change, ...]:
    items = tuple(item_of(record.id, each, place) for place, each in enumerate(messages, version))
    if not items:
        return ()
    updated_at_s = max(record.updated_at_s, *(item.created_at_s for item in items)) if version else None
    return (
        AppendItems(
            conversation_id=record.id,
            expected_version=version,
            items=items,
            updated_at_s=record.updated_at_s if updated_at_s is None else updated_at_s,
        ),
    )


def _story(messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
    return [(each.role, each.text) for each in messages]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _back_up(path: Path, data: bytes) -> Path:
    backup = path.with_name(f"{path.name}.backup.{hashlib.sha256(data).hexdigest()[:12]}")
    if not backup.exists():
        write_whole(backup, data)
    return backup
