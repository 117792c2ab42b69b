"""The data of the store in memory, and how each change changes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.client_key import ClientKey
from callboard.errors import CallboardError
from callboard.store.changes import (
    AppendEvents,
    AppendItems,
    BeginResponse,
    Change,
    DeleteConversation,
    DeleteItem,
    DeleteResponse,
    EndResponse,
    FinishReply,
    ForgetReply,
    PutConversation,
    PutKey,
    RememberReply,
    RevokeKey,
    UpdateConversation,
)
from callboard.store.in_memory.journal import Journal
from callboard.store.records import LIVE, ConversationRecord, ItemRecord, ResponseRecord, Segment, StoredReply
from callboard.store.refusals import (
    conversation_moved_on,
    log_moved_on,
    no_conversation,
    no_item,
    no_key,
    no_reply,
    no_response,
    taken,
    version_after,
)
from callboard.store.retention import Unit
from callboard.store.sizes import size_of_item, size_of_messages, size_of_segments

OWNER = "this process"


class ResponseRow(Struct, frozen=True, kw_only=True):
    """A response as it is kept.

    Attributes:
        number: In the order in which they were stored.
        root: The number of the first response of its tree.
        hidden: Deleted, and kept for the chains of those that continue it.
        children: How many rows continue it.
        bytes: Of it all, its log too.
    """

    number: int
    root: int
    record: ResponseRecord
    hidden: bool = False
    children: int = 0
    bytes: int


class ConversationRow(Struct, frozen=True, kw_only=True):
    """A conversation as it is kept; ``number`` and ``bytes`` as for a response."""

    number: int
    record: ConversationRecord
    bytes: int = 0


class Tables:
    """Rows by their ids; rows are values, and a change puts another in the place of one."""

    def __init__(self) -> None:
        self.responses: dict[str, ResponseRow] = {}
        self.segments: dict[str, list[Segment]] = {}
        self.conversations: dict[str, ConversationRow] = {}
        self.items: dict[str, dict[str, ItemRecord]] = {}
        self.replies: dict[tuple[str, str], StoredReply] = {}
        self.keys: dict[str, ClientKey] = {}
        self._numbers = 0

    def apply(self, changes: Sequence[Change]) -> None:
        """Do all of ``changes`` or none.

        Raises:
            CallboardError: What the first of them says that cannot be done.
        """
        journal = Journal()
        try:
            for change in changes:
                self._apply(change, journal)
        except CallboardError:
            journal.undo()
            raise

    def visible(self, tenant: str, response_id: str) -> ResponseRow:
        """The row of a response.

        Raises:
            UnknownResponse: The tenant has none of this id.
        """
        row = self.responses.get(response_id)
        if row is None or row.hidden or row.record.tenant != tenant:
            raise no_response(response_id)
        return row

    def conversation(self, tenant: str, conversation_id: str) -> ConversationRow:
        """The row of a conversation.

        Raises:
            NotFound: The tenant has none of this id.
        """
        row = self.conversations.get(conversation_id)
        if row is None or row.record.tenant != tenant:
            raise no_conversation(conversation_id)
        return row

    def units(self) -> Iterator[Unit]:
        """What retention chooses among, in no order."""
        trees: dict[int, list[ResponseRow]] = defaultdict(list)
        for row in self.responses.values():
            trees[row.root].append(row)
        for root, rows in trees.items():
            yield Unit(
                kind="tree",
                number=root,
                active_at_s=max(max(row.record.created_at_s, row.record.finished_at_s or 0) for row in rows),
                responses=sum(not row.hidden for row in rows),
                bytes=sum(row.bytes for row in rows),
                live=any(row.record.status in LIVE and not row.hidden for row in rows),
            )
        for conversation in self.conversations.values():
            yield Unit(
                kind="conversation",
                number=conversation.number,
                active_at_s=conversation.record.updated_at_s,
                bytes=conversation.bytes,
            )

    def remove(self, units: Sequence[Unit]) -> None:
        """Forget ``units`` and the replies that tell of them."""
        trees = {unit.number for unit in units if unit.kind == "tree"}
        conversations = {unit.number for unit in units if unit.kind == "conversation"}
        gone = {name for name, row in self.responses.items() if row.root in trees}
        for name in gone:
            del self.responses[name]
            self.segments.pop(name, None)
        for name in [name for name, row in self.conversations.items() if row.number in conversations]:
            del self.conversations[name]
            del self.items[name]
        for place in [place for place, reply in self.replies.items() if reply.response_id in gone]:
            del self.replies[place]

    def _apply(self, change: Change, journal: Journal) -> None:
        match change:
            case BeginResponse():
                self._begin(change, journal)
            case AppendEvents():
                row = self._append(change.response_id, change.expected_version, change.segment, journal)
                if change.status is not None:
                    record = replace(row.record, status=change.status)
                    journal.put(self.responses, change.response_id, replace(row, record=record))
            case EndResponse():
                self._end(change, journal)
            case DeleteResponse():
                self._delete(change, journal)
            case (
                PutConversation() | UpdateConversation() | DeleteConversation() | AppendItems() | DeleteItem()
            ):
                self._apply_to_conversation(change, journal)
            case RememberReply() | FinishReply() | ForgetReply():
                self._apply_to_reply(change, journal)
            case PutKey() | RevokeKey():
                self._apply_to_key(change, journal)
            case _:
                assert_never(change)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    # Responses.

    def _begin(self, change: BeginResponse, journal: Journal) -> None:
        record = change.record
        version = version_after(0, change.segments)
        if record.id in self.responses:
            raise taken("response", record.id)
        number = root = self._number()
        if record.previous_id is not None:
            parent = self.visible(record.tenant, record.previous_id)
            root = parent.root
            journal.put(self.responses, parent.record.id, replace(parent, children=parent.children + 1))
        row = ResponseRow(
            number=number,
            root=root,
            record=replace(record, version=version, owner=OWNER if record.status in LIVE else ""),
            bytes=len(record.request)
            + size_of_messages(record.input)
            + size_of_messages(record.produced)
            + size_of_segments(change.segments),
        )
        journal.put(self.responses, record.id, row)
        journal.put(self.segments, record.id, list(change.segments))

    def _append(
        self, response_id: str, expected_version: int, segment: Segment | None, journal: Journal
    ) -> ResponseRow:
        """The row of a live response, after ``segment``."""
        version = version_after(expected_version, () if segment is None else (segment,))
        row = self.responses.get(response_id)
        if row is None or row.hidden:
            raise no_response(response_id)
        if row.record.version != expected_version or row.record.status not in LIVE:
            raise log_moved_on(response_id)
        if segment is None:
            return row
        row = replace(
            row, record=replace(row.record, version=version), bytes=row.bytes + len(segment.payload)
        )
        journal.put(self.responses, response_id, row)
        journal.append(self.segments[response_id], segment)
        return row

    def _end(self, change: EndResponse, journal: Journal) -> None:
        row = self._append(change.response_id, change.expected_version, change.segment, journal)
        size = row.bytes - size_of_messages(row.record.produced) + size_of_messages(change.produced)
        record = replace(
            row.record,
            status=change.status,
            produced=change.produced,
            finished_at_s=change.finished_at_s,
            owner="",
        )
        journal.put(self.responses, change.response_id, replace(row, record=record, bytes=size))

    def _delete(self, change: DeleteResponse, journal: Journal) -> None:
        row: ResponseRow | None = self.visible(change.tenant, change.id)
        for place in [place for place, reply in self.replies.items() if reply.response_id == change.id]:
            journal.drop(self.replies, place)
        journal.drop(self.segments, change.id)
        if row is not None and row.children:
            record = replace(row.record, request=b"", owner="")
            size = size_of_messages(record.input) + size_of_messages(record.produced)
            journal.put(self.responses, change.id, replace(row, record=record, bytes=size, hidden=True))
            return
        while row is not None:
            journal.drop(self.responses, row.record.id)
            parent = self.responses.get(row.record.previous_id or "")
            row = None
            if parent is not None:
                parent = replace(parent, children=parent.children - 1)
                journal.put(self.responses, parent.record.id, parent)
                row = parent if parent.hidden and not parent.children else None

    # Conversations.

    def _apply_to_conversation(
        self,
        change: PutConversation | UpdateConversation | DeleteConversation | AppendItems | DeleteItem,
        journal: Journal,
    ) -> None:
        match change:
            case PutConversation(record=record):
                if record.id in self.conversations:
                    raise taken("conversation", record.id)
                kept = replace(record, metadata=dict(record.metadata), version=0)
                journal.put(
                    self.conversations, record.id, ConversationRow(number=self._number(), record=kept)
                )
                journal.put(self.items, record.id, {})
            case UpdateConversation():
                row = self.conversation(change.tenant, change.id)
                metadata = row.record.metadata if change.metadata is None else dict(change.metadata)
                title = row.record.title if change.title is None else change.title
                record = replace(row.record, title=title, metadata=metadata, updated_at_s=change.updated_at_s)
                journal.put(self.conversations, change.id, replace(row, record=record))
            case DeleteConversation():
                self.conversation(change.tenant, change.id)
                journal.drop(self.conversations, change.id)
                journal.drop(self.items, change.id)
            case AppendItems():
                self._append_items(change, journal)
            case DeleteItem():
                row = self.conversation(change.tenant, change.conversation_id)
                items = self.items[change.conversation_id]
                if change.item_id not in items:
                    raise no_item(change.item_id)
                size = row.bytes - size_of_item(journal.drop(items, change.item_id))
                journal.put(self.conversations, change.conversation_id, replace(row, bytes=size))

    def _append_items(self, change: AppendItems, journal: Journal) -> None:
        row = self.conversations.get(change.conversation_id)
        if row is None:
            raise no_conversation(change.conversation_id)
        if row.record.version != change.expected_version:
            raise conversation_moved_on(change.conversation_id)
        items = self.items[change.conversation_id]
        for position, item in enumerate(change.items, change.expected_version):
            if item.id in items:
                raise taken("item", item.id)
            journal.put(items, item.id, replace(item, position=position))
        record = replace(
            row.record, version=row.record.version + len(change.items), updated_at_s=change.updated_at_s
        )
        size = row.bytes + sum(size_of_item(item) for item in change.items)
        journal.put(self.conversations, change.conversation_id, replace(row, record=record, bytes=size))

    # Replies.

    def _apply_to_reply(self, change: RememberReply | FinishReply | ForgetReply, journal: Journal) -> None:
        match change:
            case RememberReply():
                place = (change.reply.tenant, change.reply.key)
                if place in self.replies:
                    raise taken("Idempotency-Key", change.reply.key)
                journal.put(self.replies, place, change.reply)
            case FinishReply():
                self._finish_reply(change, journal)
            case ForgetReply():
                if (change.tenant, change.key) in self.replies:
                    journal.drop(self.replies, (change.tenant, change.key))

    def _finish_reply(self, change: FinishReply, journal: Journal) -> None:
        place = (change.tenant, change.key)
        reply = self.replies.get(place)
        if reply is None:
            raise no_reply(change.key)
        reply = replace(
            reply,
            response_id=change.response_id,
            status=change.status,
            content_type=change.content_type,
            body=change.body,
        )
        journal.put(self.replies, place, reply)

    # Keys.

    def _apply_to_key(self, change: PutKey | RevokeKey, journal: Journal) -> None:
        match change:
            case PutKey(key=key):
                if key.id in self.keys:
                    raise taken("key", key.id)
                journal.put(self.keys, key.id, replace(key, version=self._number()))
            case RevokeKey(id=key_id):
                known = self.keys.get(key_id)
                if known is None:
                    raise no_key(key_id)
                if known.revoked_at_s is None:
                    revoked = replace(known, revoked_at_s=change.revoked_at_s, version=self._number())
                    journal.put(self.keys, key_id, revoked)
