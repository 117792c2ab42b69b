"""A turn as it happens, in the dialect's events.

Each block is an item of its own, numbered over all rounds. An item lives through these events::

    output_item.added  content_part.added  (output_text.delta)*  output_text.done  content_part.done
    output_item.done

and those of other kinds through the like. Whether the last item is complete is known only when the turn is
over, so an item's very last event waits for what comes next: another item, a tool of ours, or the end.

Requests for approval come behind all other items, whole when they are added.

The unstreamed answer is the Response object of the last event, so that there is no second way to build it.

Source: OpenAI API reference, "Streaming events"; Open Responses specification, 2026-04-24, "Streaming HTTP
Responses": "The `event` field MUST match the `type` in the event body. […] The terminal event MUST be the
literal string `[DONE]`."
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import (
    Block,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.fold import Fold
from callboard.domain.item import shown_id
from callboard.domain.tools import ToolHome
from callboard.domain.turn import ApprovalAsked, Aside, ToolFinished, ToolsListed, ToolStarted
from callboard.domain.turn_log import LogEvent, RoundEnded, TurnBroken, TurnInterrupted, error_of
from callboard.wire.openai_chat.outgoing import is_refusal
from callboard.wire.openai_responses.mcp_items import CallOut, McpItems
from callboard.wire.openai_responses.response import (
    LOST,
    Outcome,
    ResponseFrame,
    ResponseStatus,
    Shown,
    approval_request,
    content_in,
    emptied,
    incomplete_reason,
    item_of,
    on_a_line,
    part_in,
    response_error,
)
from callboard.wire.openai_responses.schema import ApprovalRequestOut, Echo, OutputText, Status
from callboard.wire.sse import DONE

_encode = msgspec.json.Encoder().encode


class _Kind(Struct, frozen=True, kw_only=True):
    """How items of a kind stream.

    Attributes:
        content: Name of the events that tell of their content, without ``.delta`` and ``.done``; empty for
            those that have none to tell.
        field: What the content is called when it is whole.
        part: Name of the events that tell of the part that holds it, without ``.added`` and ``.done``.
        place: Where the part stands in its item.
    """

    content: str = ""
    field: str = ""
    part: str = ""
    place: Mapping[str, int] = {}


_TEXT = _Kind(
    content="response.output_text",
    field="text",
    part="response.content_part",
    place={"content_index": 0},
)
_REFUSAL = msgspec.structs.replace(_TEXT, content="response.refusal", field="refusal")
_THINKING = _Kind(
    content="response.reasoning_summary_text",
    field="text",
    part="response.reasoning_summary_part",
    place={"summary_index": 0},
)
_REDACTED = _Kind()
_CALL = _Kind(content="response.function_call_arguments", field="arguments")
_BesidesText: TypeAlias = (
    ArgumentsDelta
    | ThinkingDelta
    | SignatureDelta
    | BlockStarted
    | BlockStopped
    | GenerationStarted
    | GenerationStopped
)
"""The events of a generation but `TextDelta`."""

UNLOGGED = b',"logprobs":[]}\n\n'
"""The end of a delta of text without log probabilities."""


class ResponseEncoder:
    """The events of a turn in, server-sent events out; each call returns whole events, or nothing.

    `finish` or `fail` ends the stream, once.

    Attributes:
        response: The Response object as the last event has it; empty before.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the dialect's name for it
        created_at: int,
        echo: Echo | Raw,
        streamed: bool = True,
    ) -> None:
        """``created_at`` is in seconds since the epoch; an echo may be encoded already.

        Where nobody reads the events (``streamed``), none is made, and ``response`` is what is wanted.
        """
        self.response = b""
        self._streamed = streamed
        self._id = id
        self._frame = ResponseFrame(id, created_at, echo)
        self._fold = Fold()
        self._sequence = -1
        self._index = -1
        self._shown = -1
        self._item_id = ""
        self._kind: _Kind | None = None
        self._delta = (b"", b"")
        self._written = False
        self._refused = False
        self._ended: Shown | None = None
        self._output: dict[int, bytes] = {}
        self._mcp = McpItems(id, self._event)

    def feed(self, event: LogEvent) -> bytes:
        """The events that tell of ``event``; empty for what the dialect has no words for.

        `TurnBroken` is an end, like `finish` and `fail`.
        """
        match event:
            case TextDelta():  # nearly all there is
                self._fold.apply(event)
                told = self._piece(event.text, event.logprobs)
            case ToolStarted() | ToolFinished() | ApprovalAsked() | ToolsListed():
                told = self._settle("completed") + self._aside(event)
            case RoundEnded():
                told = b""
            case TurnInterrupted():
                # What was told of a generation stands, and the rest of it is lost: the one case where an item
                # that is incomplete is not the last.
                told = self._cut_off()
            case TurnBroken():
                told = self._break_off(event)
            case _:
                self._fold.apply(event)
                told = self._told(event)
        return told

    def _told(self, event: _BesidesText) -> bytes:
        match event:
            case ArgumentsDelta():
                # White space before an object means nothing, and nothing but white space an empty object.
                text = event.partial_json
                told = self._piece(text if self._written else text.lstrip())
            case ThinkingDelta():
                told = self._piece(event.thinking)
            case BlockStarted():
                told = self._settle("completed") + self._begin(event.block)
            case BlockStopped():
                told = self._end(self._fold.content[-1])
            case GenerationStarted():
                told = self._start()
            case GenerationStopped() | SignatureDelta():
                told = b""
        return told

    def finish(self, completed_at: int) -> bytes:
        """The end of a turn that has come to its end at ``completed_at``, in seconds since the epoch.

        Raises:
            StreamIncomplete: It has not.
        """
        result = self._fold.result()
        reason = incomplete_reason(result.stop_reason, refused=self._refused)
        last = self._settle("completed" if reason is None else "incomplete")
        return last + self._last(
            Outcome(
                status="completed" if reason is None else "incomplete",
                completed_at=completed_at if reason is None else None,
                incomplete_reason=reason,
                output=self._items,
                usage=result.usage,
            )
        )

    def fail(self, error: BaseException) -> bytes:
        """The end of a turn that broke off; nothing where its end was told already."""
        return self._break(Outcome(status="failed", error=response_error(error)))

    def snapshot(self, status: ResponseStatus) -> bytes:
        """The Response object of a turn that has not ended."""
        return self._frame.encode(Outcome(status=status, output=self._items))

    def _break_off(self, event: TurnBroken) -> bytes:
        match event.why:
            case "failed":
                return self.fail(error_of(event))
            case "cancelled":
                return self._break(Outcome(status="cancelled"))
            case "lost":
                cut = self._cut_off() + b"".join([self._keep(*each) for each in self._mcp.abandoned()])
                return cut + self._break(Outcome(status="incomplete", error=LOST))

    def _break(self, outcome: Outcome) -> bytes:
        if self.response:
            return b""
        begun = b"" if self._sequence >= 0 else self._start()
        # What is under way is left as it is: only an incomplete response may end with an incomplete item.
        begun += self._settle("completed")
        return begun + self._last(msgspec.structs.replace(outcome, output=self._items))

    def _cut_off(self) -> bytes:
        """End the item that is under way as incomplete."""
        if not self._fold.within_a_block:
            return self._settle("completed")
        self._fold.apply(BlockStopped(index=len(self._fold.content)))
        return self._end(self._fold.content[-1]) + self._settle("incomplete")

    def _start(self) -> bytes:
        begun = {"response": Raw(self._frame.encode(Outcome()) if self._streamed else b"")}
        return self._event("response.created", begun) + self._event("response.in_progress", begun)

    def _last(self, outcome: Outcome) -> bytes:
        self.response = self._frame.encode(outcome)
        # There is no event for a response that was cancelled: it is incomplete, and its status says why.
        name = "incomplete" if outcome.status == "cancelled" else outcome.status
        return self._event(f"response.{name}", {"response": Raw(self.response)}) + DONE

    def _begin(self, block: Block) -> bytes:
        if not isinstance(block, Shown):
            return b""
        kind = self._kind = _kind_of(block)
        self._refused = self._refused or kind is _REFUSAL
        self._index += 1
        self._shown += 1  # the name tells the place among what the model showed, whatever else is shown
        self._item_id = shown_id(self._id, block, self._shown)
        self._written = False
        item = item_of(block, self._item_id, "in_progress")
        told = self._event("response.output_item.added", {"output_index": self._index, "item": emptied(item)})
        # All deltas of an item are alike but for a few bytes.
        name = f"{kind.content}.delta".encode()
        self._delta = (
            b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name),
            b',%b,"delta":' % _encode(self._place(kind))[1:-1],
        )
        part = part_in(item)
        if part is not None:
            told += self._event(f"{kind.part}.added", {**self._place(kind), "part": part})
        return told

    def _piece(self, text: str, logprobs: Raw | None = None) -> bytes:
        if not text and logprobs is None:
            return b""
        self._written = True
        self._sequence += 1
        if not self._streamed:
            return b""
        before, where = self._delta
        tail = b"}\n\n"
        if self._kind is _TEXT:
            tail = UNLOGGED if logprobs is None else b',"logprobs":%b}\n\n' % bytes(on_a_line(logprobs))
        return b"%b%d%b%b%b" % (before, self._sequence, where, _encode(text), tail)

    def _end(self, block: Block) -> bytes:
        kind = self._kind
        if kind is None or not isinstance(block, Shown):
            return b""
        self._ended = block
        item = item_of(block, self._item_id, "completed")
        content, part = content_in(item), part_in(item)
        # The arguments of a call without any are an empty object, which nobody wrote.
        told = b"" if self._written else self._piece(content)
        if kind.content:
            done: dict[str, object] = {**self._place(kind), kind.field: content}
            if isinstance(part, OutputText):
                done["logprobs"] = part.logprobs
            told += self._event(f"{kind.content}.done", done)
        if part is not None:
            told += self._event(f"{kind.part}.done", {**self._place(kind), "part": part})
        return told

    def _settle(self, status: Status) -> bytes:
        """The last event of the item that has ended, if there is one."""
        if self._ended is None or self._kind is None:
            return b""
        item = item_of(self._ended, self._item_id, status)
        self._ended = None
        self._output[self._index] = _encode(item)
        return self._event("response.output_item.done", {"output_index": self._index, "item": item})

    def _aside(self, event: Aside) -> bytes:
        match event:
            case ToolStarted(home=ToolHome() as home):
                self._index += 1
                return self._mcp.started(event.call, home, self._index)
            case ToolFinished():
                ended = self._mcp.finished(event)
                return b"" if ended is None else self._keep(*ended)
            case ToolsListed():
                self._index += 1
                item, told = self._mcp.listed(event, self._index)
                self._output[self._index] = _encode(item)
                return told
            case ApprovalAsked():
                return self._at_once(approval_request(event.call))
            case _:
                return b""

    def _keep(self, index: int, item: CallOut, told: bytes) -> bytes:
        self._output[index] = _encode(item)
        return told

    def _at_once(self, item: ApprovalRequestOut) -> bytes:
        """An item that is whole when it is added."""
        self._index += 1
        self._output[self._index] = _encode(item)
        told = {"output_index": self._index, "item": item}
        return self._event("response.output_item.added", told) + self._event(
            "response.output_item.done", told
        )

    @property
    def _items(self) -> list[bytes]:
        """Those that are complete, in their order."""
        return [self._output[index] for index in sorted(self._output)]

    def _place(self, kind: _Kind) -> dict[str, object]:
        return {"item_id": self._item_id, "output_index": self._index, **kind.place}

    def _event(self, name: str, fields: Mapping[str, object]) -> bytes:
        self._sequence += 1
        if not self._streamed:
            return b""
        data = _encode({"type": name, "sequence_number": self._sequence, **fields})
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def events_behind(number: int, told: bytes) -> bytes:
    """Those of ``told``, whole events of a `ResponseEncoder`, that come after the event ``number``."""
    if number < 0:
        return told
    return b"".join(event + b"\n\n" for event in told.split(b"\n\n") if event and _number_of(event) > number)


def _number_of(event: bytes) -> float:
    _, found, rest = event.partition(b'"sequence_number":')
    return int(rest[: rest.index(b",")]) if found else math.inf


def _kind_of(block: Shown) -> _Kind:
    match block:
        case TextBlock():
            return _REFUSAL if is_refusal(block) else _TEXT
        case ToolUseBlock():
            return _CALL
        case ThinkingBlock():
            return _THINKING
        case RedactedThinkingBlock():
            return _REDACTED
