"""StreamEventProcessor: events of a Responses stream in, events of the front out. No I/O.

Whatever comes, the front gets exactly one end, `ResponseDone` or `ErrorEvent`, and nothing after it.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import UNSET, Raw

from callboard.chats.events import (
    FrontEvent,
    ReasoningCompleted,
    ReasoningInProgress,
    ReasoningStarted,
    ResponseDone,
    SearchCompleted,
    SearchInProgress,
    SearchStarted,
    TextCreated,
    TextDelta,
    TextDone,
    ToolCallCompleted,
    ToolCallStarted,
)
from callboard.chats.failures import FailureCode, code_of, failure
from callboard.chats.response_events import NULL, OutputItem, ResponseEvent, ResponseHead
from callboard.errors import StreamIncomplete
from callboard.wire.openai_chat.error import stream_error

Told: TypeAlias = tuple[FrontEvent, ...]

_SEARCHES = {
    "response.web_search_call.in_progress": SearchStarted,
    "response.web_search_call.searching": SearchInProgress,
    "response.web_search_call.completed": SearchCompleted,
}


class StreamEventProcessor:
    """See the module's docstring. Used for one answer.

    Attributes:
        response_id: Of the answer, as soon as it is known.
        text: What it has said so far.
        item_id: What the item that holds the first of it is called.
        ended: Whether the front has its end.
        answered: Whether that end is an answer, whole or as long as it was allowed to be.
        unknown: How many events told the front nothing because their type is not known.
    """

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.text = ""
        self.item_id: str | None = None
        self.ended = False
        self.answered = False
        self.unknown = 0
        self._begun = False
        self._before = 0
        self._thoughts = 0

    def feed(self, event: ResponseEvent) -> Told:
        """What the front is told of ``event``; nothing once it has its end."""
        if self.ended:
            return ()
        told = self._told(event)
        if told and not self._begun and not self.ended:
            return (*self._begin(), *told)
        return told

    def finish(self) -> Told:
        """The stream is over: an error, unless its end has come."""
        return () if self.ended else self.fail(StreamIncomplete("the stream ended before the answer did"))

    def fail(self, error: BaseException) -> Told:
        """The answer broke off with ``error``."""
        return self._end_with(code_of(error, streaming=True))

    def _told(self, event: ResponseEvent) -> Told:
        told: Told
        match event.type:
            case "response.created":
                told = self._created(event.response)
            case "response.output_text.delta" | "response.refusal.delta":
                told = self._delta(event)
            case "response.output_text.done" | "response.refusal.done":
                told = self._text_done(event)
            case "response.output_item.added" | "response.output_item.done":
                told = self._item(event)
            case "response.completed" | "response.incomplete":
                cut = event.type == "response.incomplete"
                told = self._completed(event.response or ResponseHead(), cut=cut)
            case "response.failed":
                told = self._failed(NULL if event.response is None else event.response.error)
            case "error":
                told = self._failed(event.error if event.error != NULL else _described(event))
            case _:
                told = self._aside(event)
        return told

    def _aside(self, event: ResponseEvent) -> Told:
        """What goes on beside the text."""
        match event.type:
            case "response.reasoning_summary_part.added":
                self._thoughts += 1
                kind = ReasoningStarted if self._thoughts == 1 else ReasoningInProgress
                return (kind(part_id=event.item_id),)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return (ReasoningInProgress(part_id=event.item_id),)
            case "response.reasoning_summary_part.done":
                return (ReasoningCompleted(part_id=event.item_id),)
            case _:
                return self._search(event)

    def _search(self, event: ResponseEvent) -> Told:
        kind = _SEARCHES.get(event.type)
        if kind is None:
            self.unknown += 1
            return ()
        if event.item_id is None:
            return ()
        return (
            kind(
                item_id=event.item_id,
                output_index=event.output_index,
                sequence_number=event.sequence_number,
            ),
        )

    def _created(self, response: ResponseHead | None) -> Told:
        self.response_id = response.id if response is not None else None
        self.text, self.item_id, self._before = "", None, 0
        return self._begin()

    def _begin(self) -> Told:
        if self._begun:
            return ()
        self._begun = True
        return (TextCreated(),)

    def _delta(self, event: ResponseEvent) -> Told:
        self.item_id = self.item_id or event.item_id
        self.text += event.delta
        return (TextDelta(delta=event.delta),) if event.delta else ()

    def _text_done(self, event: ResponseEvent) -> Told:
        whole = event.text if event.text is not None else event.refusal
        if whole is None:
            whole = self.text[self._before :]
        self.item_id = self.item_id or event.item_id
        self.text = self.text[: self._before] + whole
        self._before = len(self.text)
        return (TextDone(text=whole, response_id=self.response_id),)

    def _item(self, event: ResponseEvent) -> Told:
        item = event.item or OutputItem()
        if item.type != "function_call" or item.id is None:
            return ()
        name = item.name or ""
        if event.type == "response.output_item.added":
            return (ToolCallStarted(item_id=item.id, tool_name=name),)
        success = item.status in (None, "completed")
        return (ToolCallCompleted(item_id=item.id, tool_name=name, success=success),)

    def _completed(self, response: ResponseHead, *, cut: bool) -> Told:
        self.response_id = response.id or self.response_id
        details = response.incomplete_details
        reason = details.reason if details is not None else None
        if cut and (reason == "interrupted" or response.status == "cancelled"):
            return self._end_with("connection_error")
        told: Told = ()
        if not self.text and response.text:
            self.text = response.text
            told = (TextDone(text=self.text, response_id=self.response_id),)
        if not self.text:
            return self._end_with("empty_response")
        begun = self._begin()
        self.ended = self.answered = True
        why = reason or "unknown" if cut else UNSET
        return (*begun, *told, ResponseDone(response_id=self.response_id, incomplete=why))

    def _failed(self, error: Raw) -> Told:
        return self._end_with(code_of(stream_error(bytes(error)), streaming=True))

    def _end_with(self, code: FailureCode) -> Told:
        if self.ended:
            return ()
        self.ended = True
        return (failure(code),)


def _described(event: ResponseEvent) -> Raw:
    """The error in an ``error`` event, whose fields stand in the event itself."""
    return Raw(msgspec.json.encode({"code": event.code, "message": event.message}))
