"""The events of the front: what one turn tells the page, in order.

::

    message_list  text_created  (reasoning_* | search_* | tool_call_* | text_delta | text_done)*
    response_done | error

The last one ends the stream, and there is exactly one of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType


class MessageList(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_list"):
    """The conversation, the user's new message included. The first event, and the one encoded twice."""

    threadId: str  # noqa: N815 - the front's name for it
    messages: Sequence[dict[str, str]]


class TextCreated(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_created"):
    """The answer has begun."""

    text: str = ""


class TextDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_delta"):
    """More of its text."""

    delta: str


class TextDone(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_done"):
    """A text of it is whole."""

    text: str
    response_id: str | None


class ResponseDone(Struct, frozen=True, kw_only=True, tag_field="type", tag="response_done"):
    """The answer is over.

    Attributes:
        incomplete: Why it says less than was to be said, e.g. ``max_output_tokens``; else absent.
    """

    response_id: str | None
    incomplete: str | UnsetType = UNSET


class ErrorEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """There will be no more of the answer, and why, for the user's eyes (`callboard.chats.failures`)."""

    message: str
    error_code: str
    user_action: str


class ReasoningStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_started"):
    """The model thinks."""

    part_id: str | None


class ReasoningInProgress(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_in_progress"):
    """It goes on thinking."""

    part_id: str | None
    status: str = "thinking"


class ReasoningCompleted(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_completed"):
    """A thought is whole."""

    part_id: str | None


class SearchStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="search_started"):
    """A search of the web begins."""

    item_id: str
    output_index: int | None
    sequence_number: int | None


class SearchInProgress(Struct, frozen=True, kw_only=True, tag_field="type", tag="search_in_progress"):
    """It is under way."""

    status: str = "searching"
    item_id: str
    output_index: int | None
    sequence_number: int | None


class SearchCompleted(Struct, frozen=True, kw_only=True, tag_field="type", tag="search_completed"):
    """It is over."""

    item_id: str
    output_index: int | None
    sequence_number: int | None


class ToolCallStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_call_started"):
    """A tool is called."""

    item_id: str
    tool_name: str
    status: str = "in_progress"


class ToolCallCompleted(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_call_completed"):
    """The call is over; what it came to is the model's to tell."""

    item_id: str
    tool_name: str
    success: bool


FrontEvent: TypeAlias = (
    MessageList
    | TextCreated
    | TextDelta
    | TextDone
    | ResponseDone
    | ErrorEvent
    | ReasoningStarted
    | ReasoningInProgress
    | ReasoningCompleted
    | SearchStarted
    | SearchInProgress
    | SearchCompleted
    | ToolCallStarted
    | ToolCallCompleted
)
