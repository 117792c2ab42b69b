"""What the store keeps, as values.

A *response* is one turn: what was asked (``input``), what came of it (``produced``), and the log of the
events in which that happened. Responses form trees through ``previous_id``; the way from a response up to the
root is its *chain*, a conversation that the client need not send again. A *conversation* is an object of its
own, a list of items that clients may also edit.

The payload of a log is opaque here: whoever writes events reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct, field

from callboard.domain.message import Message

Status: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
Order: TypeAlias = Literal["asc", "desc"]

LIVE: frozenset[Status] = frozenset({"queued", "in_progress"})
"""The statuses of a response whose end is still to come; only such a log can grow."""


class ResponseRecord(Struct, frozen=True, kw_only=True):
    """One response.

    Attributes:
        id: Unique in the whole store.
        tenant: Whose it is; to everybody else it does not exist.
        created_at_s, finished_at_s: Seconds since the Unix epoch; not finished while it is live.
        previous_id: The response that it continues.
        conversation_id: The conversation that it is a turn of; not checked, for either may go first.
        request: JSON of what was asked, opaque.
        input: This turn's own messages, without those of the chain before it.
        produced: What the turn added; empty until its end.
        version: The number of events in its log. The store counts it; given to the store it means nothing.
        owner: The instance of the store that keeps it alive, "" once it has ended. The store's to fill in.
    """

    id: str
    tenant: str
    status: Status
    created_at_s: int
    finished_at_s: int | None = None
    model: str
    background: bool = False
    previous_id: str | None = None
    conversation_id: str | None = None
    request: bytes
    input: tuple[Message, ...]
    produced: tuple[Message, ...] = ()
    version: int = 0
    owner: str = ""


class Segment(Struct, frozen=True, kw_only=True):
    """Some events of a response's log, one after the other, written together.

    Attributes:
        first: Number of the first of them. A log's events are numbered from 0 without gaps, so the first
            segment has ``first=0`` and every next one continues at the log's version.
        count: How many they are, at least 1.
        payload: The events; opaque.
    """

    first: int
    count: int
    payload: bytes

    def __post_init__(self) -> None:
        """Refuse a segment of nothing."""
        if self.first < 0 or self.count < 1:
            raise ValueError("a segment holds at least one event, and they are numbered from 0")


class TurnRecord(Struct, frozen=True, kw_only=True):
    """One link of a chain: what a response adds to the conversation."""

    id: str
    input: tuple[Message, ...]
    produced: tuple[Message, ...]


class ConversationRecord(Struct, frozen=True, kw_only=True):
    """A conversation, without its items.

    Attributes:
        id: Unique in the whole store.
        version: The number of items that were ever appended; deleting one does not change it.
    """

    id: str
    tenant: str
    created_at_s: int
    updated_at_s: int
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


class ItemRecord(Struct, frozen=True, kw_only=True):
    """One item of a conversation.

    Attributes:
        id: Unique in its conversation.
        position: Counts from 0 over all items ever appended. The store's to fill in.
    """

    id: str
    position: int = 0
    message: Message
    created_at_s: int


class StoredReply(Struct, frozen=True, kw_only=True):
    """What the request with an Idempotency-Key was answered with.

    Attributes:
        key: The client's own; unique for its tenant.
        request_hash: Tells the same request from another under the same key.
        response_id: The response it made, as soon as that is known.
        status, body: The HTTP answer; None while it is under way.
    """

    tenant: str
    key: str
    request_hash: bytes
    response_id: str | None = None
    status: int | None = None
    content_type: str = ""
    body: bytes | None = None
    created_at_s: int


class RetentionPolicy(Struct, frozen=True, kw_only=True):
    """How much is kept; None is no bound.

    What goes, goes oldest first by its last activity, and as a whole: all responses that hang together
    through ``previous_id`` (their *tree*), or a conversation with its items. A tree with a live response
    stays.

    Attributes:
        max_age_s: Since the last activity.
        max_responses: Over all tenants.
        max_bytes: Of requests, messages, events and items as they are stored, over all tenants.
        max_conversations: Over all tenants.
        max_reply_age_s: Of answers to Idempotency-Keys, since they were remembered.
    """

    max_age_s: int | None = None
    max_responses: int | None = None
    max_bytes: int | None = None
    max_conversations: int | None = None
    max_reply_age_s: int | None = 86_400


class StoreReport(Struct, frozen=True, kw_only=True):
    """The store's health, for operators.

    Attributes:
        engine: What keeps the data, with its version.
        schema: Version of the layout.
        problems: What is wrong with the data, a line each; nothing if all is well.
        bytes: As `RetentionPolicy` counts them.
    """

    engine: str
    schema: int
    problems: tuple[str, ...]
    responses: int
    conversations: int
    bytes: int
