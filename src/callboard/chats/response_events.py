"""Events of a Responses stream, as far as the front looks at them. No I/O.

Nothing is known of an event but its type until that is one we know; new kinds of event come up all the time,
and none of them may break a chat.

Source: OpenAI API reference, "Streaming events".
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from callboard.errors import RemoteWireError

NULL = Raw(b"null")


class ContentPart(Struct, frozen=True, kw_only=True):
    """A part of a message."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class OutputItem(Struct, frozen=True, kw_only=True):
    """An item of an answer."""

    type: str = ""
    id: str | None = None
    name: str | None = None
    status: str | None = None
    content: tuple[ContentPart, ...] | None = None

    @property
    def text(self) -> str:
        """What a message says, its refusals included."""
        return "".join(part.text or part.refusal or "" for part in self.content or ())


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    """Why a response is incomplete."""

    reason: str | None = None


class ResponseHead(Struct, frozen=True, kw_only=True):
    """A response within an event, or the whole of one that is not streamed."""

    id: str | None = None
    status: str | None = None
    output: tuple[OutputItem, ...] = ()
    error: Raw = NULL
    incomplete_details: IncompleteDetails | None = None

    @property
    def text(self) -> str:
        """What its messages say."""
        return "".join(item.text for item in self.output if item.type == "message")


class ResponseEvent(Struct, frozen=True, kw_only=True):
    """One event; what its type does not have is absent."""

    type: str
    response: ResponseHead | None = None
    item: OutputItem | None = None
    item_id: str | None = None
    delta: str = ""
    text: str | None = None
    refusal: str | None = None
    output_index: int | None = None
    sequence_number: int | None = None
    error: Raw = NULL
    code: Raw = NULL
    message: Raw = NULL


class _Kind(Struct):
    type: str = ""


KNOWN = frozenset(
    {
        "error",
        *(
            f"response.{name}"
            for name in (
                *("created", "completed", "incomplete", "failed"),
                *("output_text.delta", "output_text.done", "refusal.delta", "refusal.done"),
                *("output_item.added", "output_item.done"),
                *("reasoning_summary_part.added", "reasoning_summary_part.done"),
                *("reasoning_summary_text.delta", "reasoning_text.delta"),
                *("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
            )
        ),
    }
)
_KIND = msgspec.json.Decoder(_Kind)
_EVENT = msgspec.json.Decoder(ResponseEvent)
_HEAD = msgspec.json.Decoder(ResponseHead)


def decode_response_event(data: bytes) -> ResponseEvent:
    """The event in the data of a server-sent event.

    Raises:
        RemoteWireError: It is no event, or not of the shape that its type has.
    """
    try:
        kind = _KIND.decode(data).type
        return _EVENT.decode(data) if kind in KNOWN else ResponseEvent(type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteWireError("an event of the stream cannot be read") from error


def decode_response(body: bytes) -> ResponseHead:
    """A response that is not streamed.

    Raises:
        RemoteWireError: It is none.
    """
    try:
        return _HEAD.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteWireError("the answer cannot be read") from error
