"""What can be changed in the store. One commit is a sequence of these, done as a whole or not at all.

Each says which refusals it may meet; the first refusal undoes what its commit had done before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from callboard.domain.client_key import ClientKey
from callboard.domain.message import Message
from callboard.store.records import (
    LIVE,
    ConversationRecord,
    ItemRecord,
    ResponseRecord,
    Segment,
    Status,
    StoredReply,
)


class BeginResponse(Struct, frozen=True, kw_only=True, tag=True):
    """Store a new response, live or finished.

    Raises:
        AlreadyExists: The id is taken.
        UnknownResponse: ``record.previous_id`` names none that this tenant still has.
        VersionConflict: The segments are not those of a log from its first event on.
    """

    record: ResponseRecord
    segments: tuple[Segment, ...] = ()


class AppendEvents(Struct, frozen=True, kw_only=True, tag=True):
    """Continue the log of a live response.

    Attributes:
        expected_version: The log's version so far, and so the number of the segment's first event.
        status: Its new status, a live one; None leaves it. Ending is `EndResponse`'s.

    Raises:
        UnknownResponse: There is none of this id, or it was deleted.
        VersionConflict: The log is at another version, or the response has ended.
    """

    response_id: str
    expected_version: int
    segment: Segment
    status: Status | None = None

    def __post_init__(self) -> None:
        """Refuse to end a response by the way."""
        if self.status is not None and self.status not in LIVE:
            raise ValueError(f"a response becomes {self.status!r} by EndResponse")


class EndResponse(Struct, frozen=True, kw_only=True, tag=True):
    """End a live response: its last events, its status and what it produced.

    Attributes:
        segment: None if its end is not an event.

    Raises:
        UnknownResponse, VersionConflict: As for `AppendEvents`.
    """

    response_id: str
    expected_version: int
    segment: Segment | None
    status: Status
    produced: tuple[Message, ...]
    finished_at_s: int

    def __post_init__(self) -> None:
        """Refuse an end that is none."""
        if self.status in LIVE:
            raise ValueError(f"{self.status!r} is not the status of a response that has ended")


class DeleteResponse(Struct, frozen=True, kw_only=True, tag=True):
    """Delete a response, its log, and the replies that tell of it.

    Nobody finds it any more from here on. What it contributes to the chains of kept responses that continue
    it stays for them, and goes with the last of them. One that is live learns of it by `UnknownResponse`.

    Raises:
        UnknownResponse: The tenant has none of this id.
    """

    tenant: str
    id: str


class PutConversation(Struct, frozen=True, kw_only=True, tag=True):
    """Store a new conversation, which has no items yet.

    Raises:
        AlreadyExists: The id is taken.
    """

    record: ConversationRecord


class UpdateConversation(Struct, frozen=True, kw_only=True, tag=True):
    """Change what is said of a conversation; None leaves a field as it is.

    Raises:
        NotFound: The tenant has none of this id.
    """

    tenant: str
    id: str
    title: str | None = None
    metadata: Mapping[str, str] | None = None
    updated_at_s: int


class DeleteConversation(Struct, frozen=True, kw_only=True, tag=True):
    """Delete a conversation and its items. The responses that were made in it stay.

    Raises:
        NotFound: The tenant has none of this id.
    """

    tenant: str
    id: str


class AppendItems(Struct, frozen=True, kw_only=True, tag=True):
    """Append to a conversation; the store numbers the items.

    Raises:
        NotFound: There is no such conversation.
        VersionConflict: It is at another version.
        AlreadyExists: It has an item of the same id.
    """

    conversation_id: str
    expected_version: int
    items: tuple[ItemRecord, ...]
    updated_at_s: int


class DeleteItem(Struct, frozen=True, kw_only=True, tag=True):
    """Delete one item of a conversation.

    Raises:
        NotFound: The tenant has no such conversation, or that has no such item.
    """

    tenant: str
    conversation_id: str
    item_id: str


class RememberReply(Struct, frozen=True, kw_only=True, tag=True):
    """Take an Idempotency-Key.

    Raises:
        AlreadyExists: It is taken.
    """

    reply: StoredReply


class FinishReply(Struct, frozen=True, kw_only=True, tag=True):
    """Keep what a key was answered with.

    Raises:
        NotFound: The key is not taken, or was forgotten meanwhile.
    """

    tenant: str
    key: str
    response_id: str | None
    status: int
    content_type: str
    body: bytes


class ForgetReply(Struct, frozen=True, kw_only=True, tag=True):
    """Free a key, if it is taken."""

    tenant: str
    key: str


class PutKey(Struct, frozen=True, kw_only=True, tag=True):
    """Keep a new client key.

    Raises:
        AlreadyExists: The id is taken.
    """

    key: ClientKey


class RevokeKey(Struct, frozen=True, kw_only=True, tag=True):
    """Revoke a client key, for good; one that is revoked already stays so since when it was.

    Raises:
        NotFound: There is none of this id.
    """

    id: str
    revoked_at_s: int


Change: TypeAlias = (
    BeginResponse
    | AppendEvents
    | EndResponse
    | DeleteResponse
    | PutConversation
    | UpdateConversation
    | DeleteConversation
    | AppendItems
    | DeleteItem
    | RememberReply
    | FinishReply
    | ForgetReply
    | PutKey
    | RevokeKey
)
