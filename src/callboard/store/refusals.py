"""What every store refuses, in the same words. They never tell whether somebody else has it."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.errors import AlreadyExists, NotFound, UnknownResponse, VersionConflict
from callboard.store.records import Segment


def no_response(response_id: str) -> UnknownResponse:
    """The tenant has no such response."""
    return UnknownResponse(f"Response with id {response_id!r} not found.")


def no_conversation(conversation_id: str) -> NotFound:
    """The tenant has no such conversation."""
    return NotFound(f"Conversation with id {conversation_id!r} not found.")


def no_item(item_id: str) -> NotFound:
    """The conversation has no such item."""
    return NotFound(f"Item with id {item_id!r} not found.")


def no_reply(key: str) -> NotFound:
    """Nobody holds this Idempotency-Key."""
    return NotFound(f"Nothing is known of the Idempotency-Key {key!r}.")


def no_key(key_id: str) -> NotFound:
    """There is no such client key."""
    return NotFound(f"There is no key {key_id!r}.")


def taken(kind: str, name: str) -> AlreadyExists:
    """There is one of this name already."""
    return AlreadyExists(f"There is a {kind} {name!r} already.")


def log_moved_on(response_id: str) -> VersionConflict:
    """Somebody else has appended to the log, or ended it."""
    return VersionConflict(f"The log of response {response_id!r} has gone on, or has ended.")


def conversation_moved_on(conversation_id: str) -> VersionConflict:
    """Somebody else has appended items."""
    return VersionConflict(f"Conversation {conversation_id!r} has gone on.")


def version_after(version: int, segments: Sequence[Segment]) -> int:
    """The version of a log of ``version`` events after ``segments``.

    Raises:
        VersionConflict: They do not continue it without a gap.
    """
    for segment in segments:
        if segment.first != version:
            raise VersionConflict(f"Event {segment.first} cannot follow {version} others.")
        version += segment.count
    return version
