"""ConversationManager: a user's conversations over the store, with the methods of the front's first edition.

A user is a tenant of the store; whoever asks for another's conversation is told that there is none. Nothing
is cached and nothing is locked here: each change is one commit, and an append that finds somebody else's
before it goes behind that one. So tasks, threads and processes may share a store and lose nothing.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from callboard.chats.conversation import (
    MARK,
    ChatMessage,
    Conversation,
    ConversationSummary,
    conversation_of,
    item_of,
    kept_of,
    last_response_id,
    messages_of,
    summary_of,
)
from callboard.chats.refusals import checked_username, unknown
from callboard.domain.title import shortened
from callboard.errors import AlreadyExists, InvalidRequest, NotFound, VersionConflict
from callboard.store.changes import AppendItems, Change, PutConversation, UpdateConversation
from callboard.store.records import ConversationRecord, ItemRecord
from callboard.store.store import Store

AT_ONCE = 500
LONGEST_NAME = 200

_UNFIT = re.compile(r"[^\w. -]")

Write: TypeAlias = Callable[[tuple[Change, ...]], Awaitable[None]]
"""Commits changes, all or none."""


class ConversationManager:
    """See the module's docstring.

    Every method may raise `InvalidRequest` for a username that is none, and `StoreUnavailable`.

    Args:
        store: Where conversations are read; open as long as the manager is used.
        write: What commits changes to it; by default the store itself.
        now_s: Seconds since the epoch.
        new_id: A fresh id; by default a random UUID.
    """

    def __init__(
        self,
        store: Store,
        *,
        write: Write | None = None,
        now_s: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._store = store
        self._write = write or store.commit
        self._now_s = now_s
        self._new_id = new_id

    async def create_conversation(self, username: str, chat_name: str) -> str:
        """Begin a conversation; its id."""
        now_s = int(self._now_s())
        record = ConversationRecord(
            id=self._new_id(),
            tenant=checked_username(username),
            created_at_s=now_s,
            updated_at_s=now_s,
            title=cleaned(chat_name)[:LONGEST_NAME],
        )
        await self._write((PutConversation(record=record),))
        return record.id

    async def get_conversation(self, username: str, conversation_id: str) -> Conversation | None:
        """The whole conversation; None where the user has none of this id."""
        record = await self._found(username, conversation_id)
        if record is None:
            return None
        return conversation_of(record, await self._items(record))

    async def add_message(
        self,
        username: str,
        conversation_id: str,
        role: str,
        content: str,
        response_id: str | None = None,
    ) -> None:
        """Append a message, behind whatever others append at the same time; durable when this returns.

        Raises:
            UnknownConversation: The user has none of this id.
            InvalidRequest: The role is neither ``user`` nor ``assistant``.
        """
        now_s = int(self._now_s())
        message = ChatMessage(role=role, text=content, timestamp=now_s, response_id=response_id)
        await self._append(username, conversation_id, message)

    async def keep_interrupted(
        self, username: str, conversation_id: str, text: str, *, item_id: str = ""
    ) -> None:
        """Append what came of an answer that was cut short, marked as such.

        Args:
            username: Whose.
            conversation_id: Where.
            text: As far as it came; nothing is appended where that is nothing.
            item_id: What the item would be called in the whole answer. Where that one is there after all,
                nothing is appended.

        Raises:
            UnknownConversation: The user has none of this id.
        """
        if not text:
            return
        message = ChatMessage(role="assistant", text=text, timestamp=int(self._now_s()), incomplete=True)
        try:
            await self._append(username, conversation_id, message, item_id=item_id)
        except AlreadyExists:
            return

    async def get_last_response_id(self, username: str, conversation_id: str) -> str | None:
        """The id of the latest whole answer, which the next turn follows; None where there is none."""
        record = await self._found(username, conversation_id)
        if record is None:
            return None
        page = await self._page(record, None)
        while page:
            found = last_response_id(messages_of(page))
            if found is not None:
                return found
            page = await self._page(record, page[0].id) if len(page) == AT_ONCE else []
        return kept_of(record).last_response_id

    async def update_conversation_metadata(
        self,
        username: str,
        conversation_id: str,
        *,
        chat_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Change a conversation's name or its metadata; None leaves it. There is nothing else to change.

        Raises:
            UnknownConversation: The user has none of this id.
        """
        record = await self._record(username, conversation_id)
        if metadata is not None and MARK in record.metadata:
            metadata = {**metadata, MARK: record.metadata[MARK]}
        name = None if chat_name is None else cleaned(chat_name)[:LONGEST_NAME]
        await self._update(record, name, metadata)

    async def update_conversation_title(self, username: str, conversation_id: str, title: str) -> bool:
        """Give a conversation a title, cleaned and shortened; whether there was one, and a title."""
        name = shortened(cleaned(title.strip()))
        if not name or await self._found(username, conversation_id) is None:
            return False
        await self.update_conversation_metadata(username, conversation_id, chat_name=name)
        return True

    async def name_conversation(self, username: str, conversation_id: str, title: str) -> None:
        """Give a conversation a title that we have found ourselves, as it is.

        Raises:
            UnknownConversation: The user has none of this id.
        """
        await self._update(await self._record(username, conversation_id), title, None)

    async def list_conversations(self, username: str) -> dict[str, ConversationSummary]:
        """All conversations of a user by their ids, oldest first. No message is read for it."""
        tenant = checked_username(username)
        found: dict[str, ConversationSummary] = {}
        after: str | None = None
        while True:
            page = await self._store.conversations(tenant, limit=AT_ONCE, after=after, order="asc")
            found.update((record.id, summary_of(record)) for record in page)
            if len(page) < AT_ONCE:
                return found
            after = page[-1].id

    async def get_message_list(
        self, username: str, conversation_id: str, limit: int | None = None
    ) -> list[dict[str, str]]:
        """The messages of a conversation, oldest first; none where the user has no such conversation.

        Args:
            username: Whose.
            conversation_id: Of which.
            limit: Only the latest so many.
        """
        record = await self._found(username, conversation_id)
        if record is None:
            return []
        if limit is None:
            return shown(messages_of(await self._items(record)))
        items = page = await self._page(record, None)
        # The first message of a page may be the later part of one.
        while len(page) == AT_ONCE and len(messages_of(items)) <= limit:
            page = await self._page(record, page[0].id)
            items = page + items
        return shown(messages_of(items)[-limit:]) if limit > 0 else []

    async def exists(self, username: str, conversation_id: str) -> bool:
        """Whether the user has a conversation of this id."""
        return await self._found(username, conversation_id) is not None

    async def _append(
        self, username: str, conversation_id: str, message: ChatMessage, *, item_id: str = ""
    ) -> None:
        while True:
            record = await self._record(username, conversation_id)
            change = AppendItems(
                conversation_id=record.id,
                expected_version=record.version,
                items=(item_of(record.id, message, record.version, item_id=item_id),),
                updated_at_s=message.timestamp,
            )
            try:
                await self._write((change,))
            except VersionConflict:
                continue  # somebody else has appended: behind theirs
            except NotFound as error:
                raise unknown(conversation_id) from error
            return

    async def _update(
        self, record: ConversationRecord, title: str | None, metadata: Mapping[str, str] | None
    ) -> None:
        change = UpdateConversation(
            tenant=record.tenant,
            id=record.id,
            title=title,
            metadata=metadata,
            updated_at_s=int(self._now_s()),
        )
        try:
            await self._write((change,))
        except NotFound as error:
            raise unknown(record.id) from error

    async def _found(self, username: str, conversation_id: str) -> ConversationRecord | None:
        return await self._store.conversation(checked_username(username), conversation_id)

    async def _record(self, username: str, conversation_id: str) -> ConversationRecord:
        record = await self._found(username, conversation_id)
        if record is None:
            raise unknown(conversation_id)
        return record

    async def _items(self, record: ConversationRecord) -> list[ItemRecord]:
        items = page = await self._page(record, None)
        while len(page) == AT_ONCE:
            page = await self._page(record, page[0].id)
            items = page + items
        return items

    async def _page(self, record: ConversationRecord, before: str | None) -> list[ItemRecord]:
        """The last items before the one of the id ``before``, in order; none if they are gone meanwhile."""
        try:
            page = await self._store.items(
                record.tenant, record.id, limit=AT_ONCE, after=before, order="desc"
            )
        except NotFound:
            return []
        return page[::-1]


def shown(messages: list[ChatMessage]) -> list[dict[str, str]]:
    """Messages as the front lists them."""
    return [{"role": each.role, "text": each.text} for each in messages]


def cleaned(name: str) -> str:
    """``name`` as a conversation may be called: of letters, digits, and ``_ . -`` and blanks."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"The name has half a character at position {error.start}.") from error
    return _UNFIT.sub("_", name)
