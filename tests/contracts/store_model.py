"""What a store holds, in the plainest way: copied whole before each commit, searched from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from callboard.domain.client_key import ClientKey
from callboard.domain.codec import encode_message, encode_messages
from callboard.errors import AlreadyExists, CallboardError, NotFound, UnknownResponse, VersionConflict
from callboard.store import (
    LIVE,
    AppendEvents,
    AppendItems,
    BeginResponse,
    Change,
    ConversationRecord,
    DeleteConversation,
    DeleteItem,
    DeleteResponse,
    EndResponse,
    FinishReply,
    ForgetReply,
    ItemRecord,
    PutConversation,
    PutKey,
    RememberReply,
    ResponseRecord,
    RetentionPolicy,
    RevokeKey,
    Segment,
    StoredReply,
    UpdateConversation,
)


@dataclass
class Model:
    """Everything, in the order of its arrival."""

    responses: list[ResponseRecord] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    logs: dict[str, list[Segment]] = field(default_factory=dict)
    conversations: list[ConversationRecord] = field(default_factory=list)
    items: list[tuple[str, ItemRecord]] = field(default_factory=list)
    replies: list[StoredReply] = field(default_factory=list)
    keys: list[ClientKey] = field(default_factory=list)

    def commit(self, changes: Sequence[Change]) -> type[CallboardError] | None:
        """Do ``changes`` or return what kind of refusal they meet."""
        before = self.copy()
        try:
            for change in changes:
                self.apply(change)
        except CallboardError as refusal:
            self.__dict__.update(before.__dict__)
            return type(refusal)
        return None

    def copy(self) -> Model:
        logs = {name: list(log) for name, log in self.logs.items()}
        parts = {name: copy(value) for name, value in self.__dict__.items()}
        return Model(**{**parts, "logs": logs})

    # Looking.

    def response(self, tenant: str, name: str) -> ResponseRecord:
        for each in self.responses:
            if (each.id, each.tenant) == (name, tenant) and name not in self.hidden:
                return each
        raise UnknownResponse(name)

    def by_id(self, name: str | None) -> ResponseRecord | None:
        return next((each for each in self.responses if each.id == name), None)

    def chain(self, name: str) -> list[str]:
        record = self.by_id(name)
        return [] if record is None else [*self.chain(record.previous_id or ""), name]

    def conversation(self, tenant: str, name: str) -> ConversationRecord:
        for each in self.conversations:
            if (each.id, each.tenant) == (name, tenant):
                return each
        raise NotFound(name)

    def items_of(self, name: str) -> list[ItemRecord]:
        return [each for of, each in self.items if of == name]

    def bytes_of(self, name: str) -> int:
        """Of a response, or of a conversation's items."""
        record = self.by_id(name)
        if record is None:
            return sum(len(encode_message(each.message)) for each in self.items_of(name))
        size = len(encode_messages(record.input)) + len(encode_messages(record.produced))
        return size + len(record.request) + sum(len(each.payload) for each in self.logs.get(name, []))

    @property
    def bytes(self) -> int:
        names = [each.id for each in self.responses] + [each.id for each in self.conversations]
        return sum(self.bytes_of(name) for name in names)

    # Changing.

    def apply(self, change: Change) -> None:
        match change:
            case BeginResponse() | AppendEvents() | EndResponse() | DeleteResponse():
                self.apply_to_response(change)
            case RememberReply() | FinishReply() | ForgetReply():
                self.apply_to_reply(change)
            case PutKey() | RevokeKey():
                self.apply_to_key(change)
            case _:
                self.apply_to_conversation(change)

    def apply_to_response(self, change: BeginResponse | AppendEvents | EndResponse | DeleteResponse) -> None:
        match change:
            case BeginResponse(record=record):
                if self.by_id(record.id) is not None:
                    raise AlreadyExists
                if record.previous_id is not None:
                    self.response(record.tenant, record.previous_id)
                self.logs[record.id] = []
                self.responses.append(replace(record, version=0))
                for segment in change.segments:
                    self.extend(record.id, segment)
            case AppendEvents():
                self.live(change.response_id, change.expected_version)
                record = self.extend(change.response_id, change.segment)
                self.keep(replace(record, status=change.status or record.status))
            case EndResponse():
                record = self.live(change.response_id, change.expected_version)
                if change.segment is not None:
                    record = self.extend(change.response_id, change.segment)
                self.keep(
                    replace(
                        record,
                        status=change.status,
                        produced=change.produced,
                        finished_at_s=change.finished_at_s,
                    )
                )
            case DeleteResponse():
                record = self.response(change.tenant, change.id)
                self.replies = [each for each in self.replies if each.response_id != change.id]
                self.hidden.add(change.id)
                self.logs[change.id] = []
                self.keep(replace(record, request=b""))
                needed = {
                    name
                    for each in self.responses
                    if each.id not in self.hidden
                    for name in self.chain(each.id)
                }
                self.forget({each.id for each in self.responses} - needed)
            case _:
                assert_never(change)

    def live(self, name: str, version: int) -> ResponseRecord:
        record = self.by_id(name)
        if record is None or name in self.hidden:
            raise UnknownResponse
        if record.status not in LIVE or record.version != version:
            raise VersionConflict
        return record

    def extend(self, name: str, segment: Segment) -> ResponseRecord:
        record = self.by_id(name)
        assert record is not None
        if segment.first != record.version:
            raise VersionConflict
        self.logs[name].append(segment)
        return self.keep(replace(record, version=record.version + segment.count))

    def keep(self, record: ResponseRecord) -> ResponseRecord:
        self.responses = [record if each.id == record.id else each for each in self.responses]
        return record

    def forget(self, names: set[str]) -> None:
        self.responses = [each for each in self.responses if each.id not in names]
        self.hidden -= names
        for name in names:
            del self.logs[name]

    def apply_to_conversation(
        self, change: PutConversation | UpdateConversation | DeleteConversation | AppendItems | DeleteItem
    ) -> None:
        match change:
            case PutConversation(record=record):
                if any(each.id == record.id for each in self.conversations):
                    raise AlreadyExists
                self.conversations.append(replace(record, version=0))
            case UpdateConversation():
                record = self.conversation(change.tenant, change.id)
                title = record.title if change.title is None else change.title
                metadata = record.metadata if change.metadata is None else change.metadata
                self.put(replace(record, title=title, metadata=metadata, updated_at_s=change.updated_at_s))
            case DeleteConversation():
                record = self.conversation(change.tenant, change.id)
                self.conversations.remove(record)
                self.items = [each for each in self.items if each[0] != change.id]
            case AppendItems():
                found = [each for each in self.conversations if each.id == change.conversation_id]
                if not found:
                    raise NotFound
                if found[0].version != change.expected_version:
                    raise VersionConflict
                for number, item in enumerate(change.items):
                    if any(each.id == item.id for each in self.items_of(change.conversation_id)):
                        raise AlreadyExists
                    placed = replace(item, position=found[0].version + number)
                    self.items.append((change.conversation_id, placed))
                version = found[0].version + len(change.items)
                self.put(replace(found[0], version=version, updated_at_s=change.updated_at_s))
            case DeleteItem():
                self.conversation(change.tenant, change.conversation_id)
                left = [
                    each
                    for each in self.items
                    if (each[0], each[1].id) != (change.conversation_id, change.item_id)
                ]
                if len(left) == len(self.items):
                    raise NotFound
                self.items = left
            case _:
                assert_never(change)

    def put(self, record: ConversationRecord) -> None:
        self.conversations = [record if each.id == record.id else each for each in self.conversations]

    def apply_to_reply(self, change: RememberReply | FinishReply | ForgetReply) -> None:
        kept = change.reply if isinstance(change, RememberReply) else change
        found = [each for each in self.replies if (each.tenant, each.key) == (kept.tenant, kept.key)]
        others = [each for each in self.replies if each not in found]
        match change:
            case RememberReply():
                if found:
                    raise AlreadyExists
                self.replies.append(change.reply)
            case FinishReply():
                if not found:
                    raise NotFound
                done = replace(
                    found[0],
                    response_id=change.response_id,
                    status=change.status,
                    content_type=change.content_type,
                    body=change.body,
                )
                self.replies = [*others, done]
            case ForgetReply():
                self.replies = others
            case _:
                assert_never(change)

    def apply_to_key(self, change: PutKey | RevokeKey) -> None:
        """Whoever changed last comes last."""
        key_id = change.key.id if isinstance(change, PutKey) else change.id
        found = [each for each in self.keys if each.id == key_id]
        match change:
            case PutKey():
                if found:
                    raise AlreadyExists
                self.keys.append(change.key)
            case RevokeKey():
                if not found:
                    raise NotFound
                if found[0].revoked_at_s is None:
                    self.keys.remove(found[0])
                    self.keys.append(replace(found[0], revoked_at_s=change.revoked_at_s))
            case _:
                assert_never(change)

    def prune(self, policy: RetentionPolicy, now_s: int) -> int:
        """Let go of what is oldest until ``policy`` is content."""
        if policy.max_reply_age_s is not None:
            oldest = now_s - policy.max_reply_age_s
            self.replies = [each for each in self.replies if each.created_at_s >= oldest]
        roots = [each.id for each in self.responses if each.previous_id is None]
        trees = [[each for each in self.responses if self.chain(each.id)[0] == root] for root in roots]
        aged: list[tuple[int, int, list[str]]] = [
            (
                max(max(each.created_at_s, each.finished_at_s or 0) for each in tree),
                1,
                [each.id for each in tree],
            )
            for tree in trees
        ]
        aged += [(each.updated_at_s, 0, [each.id]) for each in self.conversations]
        gone = 0
        for active_at_s, is_tree, names in sorted(aged, key=lambda each: each[:2]):
            visible = [name for name in names if self.by_id(name) and name not in self.hidden]
            if any(record.status in LIVE for record in self.responses if record.id in visible):
                continue
            count = len(self.responses) - len(self.hidden) if is_tree else len(self.conversations)
            bound = policy.max_responses if is_tree else policy.max_conversations
            too_old = policy.max_age_s is not None and now_s - active_at_s > policy.max_age_s
            too_much = policy.max_bytes is not None and self.bytes > policy.max_bytes
            if not (too_old or too_much or (bound is not None and count > bound)):
                continue
            gone += len(visible)
            if is_tree:
                self.replies = [each for each in self.replies if each.response_id not in names]
                self.forget(set(names))
            else:
                self.conversations = [each for each in self.conversations if each.id != names[0]]
                self.items = [each for each in self.items if each[0] != names[0]]
        return gone
