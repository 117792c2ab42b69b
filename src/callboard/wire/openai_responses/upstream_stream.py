"""Answers of an upstream: events into events.

The items of an answer stand in a queue in the order in which they began, and the first part of the first of
them streams; what is behind it collects its pieces, should a server ever interleave them. A part gives way
when it is done, and an item too, or when all its parts are and the next one has begun.

Everything is told up to four times: in deltas, in the part's ``done``, in the item's, and in the Response
object of the last event. Any of them will do, so that a server may leave out the others, and the unstreamed
answer is the last event alone. What may not be left out is the last event: it alone says whether the answer
is complete. ``[DONE]`` says nothing. Sequence numbers are not looked at, nor are events and items of types we
do not know.

The answer counts as begun with its first item, not with ``response.created``: what fails in between has shown
nothing yet and may be tried again.

Source: OpenAI API reference, "Streaming events"; Open Responses specification, 2026-04-24, "Streaming HTTP
Responses".
"""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import Raw

from callboard.domain.block import Block
from callboard.domain.delta import (
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
)
from callboard.domain.fold import fold
from callboard.domain.generation import Generation
from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamServerError
from callboard.wire.json import decode
from callboard.wire.openai_chat.incoming import arguments_text
from callboard.wire.openai_chat.response import unique_id
from callboard.wire.openai_responses.schema import NULL, ItemKind
from callboard.wire.openai_responses.upstream_parts import PIECES, WHOLES, Item, Kind, Part, Said
from callboard.wire.openai_responses.upstream_response import (
    failure_of,
    service_tier,
    stop_reason_of,
    usage_of,
)
from callboard.wire.openai_responses.upstream_schema import (
    CallIn,
    EventIn,
    MessageIn,
    ReasoningIn,
    ResponseIn,
)
from callboard.wire.sse import DONE_DATA

MAX_EVENT_BYTES = 8 << 20
"""The last event holds the whole answer, and what it repeats of the request."""

_EVENT = msgspec.json.Decoder(EventIn)
_RESPONSE = msgspec.json.Decoder(ResponseIn)
_KIND = msgspec.json.Decoder(ItemKind)
_MESSAGE = msgspec.json.Decoder(MessageIn)
_CALL = msgspec.json.Decoder(CallIn)
_REASONING = msgspec.json.Decoder(ReasoningIn)
_TEXT = msgspec.json.Decoder(str)


class EventDecoder:
    """The data of a stream's events in, the generation's events out."""

    def __init__(self) -> None:
        self._id = ""
        self._model = ""
        self._started = False
        self._stopped = False
        self._items: dict[int, Item] = {}
        self._begun = 0
        self._queue: deque[Item] = deque()
        self._index = 0
        self._call_ids: set[str] = set()
        self._refused = False

    def feed(self, data: bytes) -> tuple[GenerationEvent, ...]:
        """The events that one event's data completes.

        Raises:
            RemoteWireError: The data breaks JSON or the dialect.
            UpstreamError: The upstream reports an error instead of going on.
        """
        if self._stopped or data == DONE_DATA:
            return ()
        event = decode(data, _EVENT.decode, side="remote")
        if (piece := PIECES.get(event.type)) is not None:
            self._piece(event, piece)
            return self._advance()
        match event.type:
            case "response.output_item.added":
                self._item_added(event.output_index or 0, event.item)
            case "response.output_item.done":
                self._item_done(event.output_index or 0, event.item)
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                return self._finish(_response(event.response), event.type.removeprefix("response."))
            case "response.created" | "response.queued" | "response.in_progress":
                self._note(_response(event.response))
            case "error" | "" if event.type or event.error != NULL:
                raise failure_of(event.error if event.error != NULL else Raw(data))
            case name if name in WHOLES:
                self._whole(event, WHOLES[name])
        return self._advance()

    def end(self) -> tuple[GenerationEvent, ...]:
        """The stream has ended; nothing that it has not said completes by that.

        Raises:
            StreamIncomplete: It was cut: its last event has not come.
        """
        if not self._stopped:
            raise StreamIncomplete("the upstream's answer ended before it was complete")
        return ()

    def whole(self, body: bytes) -> tuple[GenerationEvent, ...]:
        """The events of an unstreamed answer.

        Raises:
            RemoteWireError: It breaks JSON or the dialect, or holds no output.
            UpstreamError: It is an error that came with a status of success.
        """
        response = decode(body, _RESPONSE.decode, side="remote")
        if response.output is None and response.error == NULL:
            raise RemoteWireError("the upstream's answer holds no output")
        if response.status in {"queued", "in_progress"}:
            raise StreamIncomplete("the upstream answered before its answer was complete")
        failed = response.output is None or response.error != NULL
        return self._finish(response, "failed" if failed else "completed")

    # --- what an event tells

    def _note(self, response: ResponseIn) -> None:
        self._id = self._id or response.id or ""
        self._model = self._model or response.model or ""

    def _piece(self, event: EventIn, said: Said) -> None:
        part = self._part(event, said.kind)
        text = _text(event.delta, "delta")
        if said.kind == "thinking":
            paragraph = 0 if said.in_the_open else event.summary_index or 0
            part.add_thought(text, in_the_open=said.in_the_open, paragraph=paragraph)
        else:
            part.add(text, event.logprobs)

    def _whole(self, event: EventIn, said: Said) -> None:
        part = self._part(event, said.kind)
        match said.kind:
            case "call":
                part.fill(arguments_text(event.arguments))
                part.done = bool(part.call_id and part.name)
            case "refusal":
                part.fill(_text(event.refusal, "refusal"))
                part.done = True
            case "text":
                part.fill(_text(event.text, "text"), event.logprobs)
                part.done = True
            case "thinking":
                # It is done only with its item, which has its encrypted form.
                paragraph = 0 if said.in_the_open else event.summary_index or 0
                text = _text(event.text, "text")
                part.fill_thought(text, in_the_open=said.in_the_open, paragraph=paragraph)

    def _item_added(self, index: int, raw: Raw) -> None:
        """A new item; where a server numbers all alike, the one before it is over."""
        before = self._items.get(index)
        if before is not None:
            before.close()
        item = self._new_item(index)
        match _kind(raw):
            case "message":
                item.phase = decode(raw, _MESSAGE.decode, side="remote", at="item").phase
            case "function_call":
                self._call(item, raw)
            case "reasoning":
                item.part("thinking").item_id = _reasoning(raw).id
            case _:
                item.close()

    def _item_done(self, index: int, raw: Raw) -> None:
        item = self._item(index)
        if item.done:
            item = self._new_item(index)
        match _kind(raw):
            case "message":
                self._message(item, decode(raw, _MESSAGE.decode, side="remote", at="item"))
            case "function_call":
                part, call = self._call(item, raw)
                part.fill(arguments_text(call.arguments))
            case "reasoning":
                self._thought(item, _reasoning(raw))
        item.close()

    def _message(self, item: Item, message: MessageIn) -> None:
        item.phase = item.phase or message.phase
        for at, piece in enumerate(message.content or ()):
            if piece.type == "refusal":
                item.part("refusal", at).fill(piece.refusal or "")
            elif piece.text is not None:
                item.part("text", at).fill(piece.text, piece.logprobs)

    def _call(self, item: Item, raw: Raw) -> tuple[Part, CallIn]:
        part, call = item.part("call"), decode(raw, _CALL.decode, side="remote", at="item")
        part.call_id = part.call_id or call.call_id or ""
        part.name = part.name or call.name or ""
        return part, call

    def _thought(self, item: Item, thought: ReasoningIn) -> None:
        part = item.part("thinking")
        part.item_id = thought.id or part.item_id
        part.signature = thought.encrypted_content or ""
        content = "".join(piece.text for piece in thought.content or ())
        summary = "\n\n".join(piece.text for piece in thought.summary or ())
        if part.in_the_open is None:
            part.in_the_open = bool(content)
        part.fill(content if part.in_the_open else summary)

    def _part(self, event: EventIn, kind: Kind) -> Part:
        """The part that an event tells of, even if nobody has said that it begins."""
        item = self._item(event.output_index or 0)
        if kind in {"text", "refusal"}:
            return item.part(kind, event.content_index or 0)
        part = item.part(kind)
        part.item_id = part.item_id or event.item_id
        return part

    def _item(self, index: int) -> Item:
        item = self._items.get(index)
        if item is None:
            return self._new_item(index)
        if item not in self._queue:
            self._queue.append(item)  # it gave way, and goes on behind the others
        return item

    def _new_item(self, index: int) -> Item:
        item = self._items[index] = Item()
        self._queue.append(item)
        self._begun += 1
        return item

    # --- what that completes

    def _advance(self, *, over: bool = False) -> tuple[GenerationEvent, ...]:
        """Hand on what the first part has, and let those that are done give way."""
        events: list[GenerationEvent] = []
        if (self._begun or over) and not self._started:
            self._started = True
            events.append(GenerationStarted(id=self._id, model=self._model))
        while self._queue:
            item = self._queue[0]
            while item.left:
                part = item.left[0]
                self._hand_on(part, events)
                if not part.done:
                    return tuple(events)
                self._leave(part, events)
                item.left.popleft()
            if not item.done and (len(self._queue) == 1 or not item.parts):
                break
            self._queue.popleft()
        return tuple(events)

    def _hand_on(self, part: Part, events: list[GenerationEvent]) -> None:
        if part.ready and not part.opened:
            events.append(BlockStarted(index=self._index, block=self._block(part)))
            part.opened = True
        if part.opened:
            events += [part.delta(self._index, text, tokens) for text, tokens in part.waiting]
            part.waiting.clear()

    def _block(self, part: Part) -> Block:
        self._refused = self._refused or part.kind == "refusal"
        if part.kind != "call":
            return part.block("")
        return part.block(unique_id(part.call_id, self._call_ids, self._id))

    def _leave(self, part: Part, events: list[GenerationEvent]) -> None:
        redacted = part.redacted()
        if redacted is not None:
            events.append(BlockStarted(index=self._index, block=redacted))
        elif not part.opened:
            return
        elif part.signature:
            events.append(SignatureDelta(index=self._index, signature=part.signature))
        events.append(BlockStopped(index=self._index))
        self._index += 1

    def _finish(self, response: ResponseIn, status: str) -> tuple[GenerationEvent, ...]:
        """The answer is over, as its Response object says, or else the name of its last event."""
        if response.status in {"incomplete", "failed", "cancelled"}:
            status = response.status
        if status == "failed":
            raise failure_of(response.error)
        if status == "cancelled":
            raise UpstreamServerError("the upstream cancelled its answer")
        self._note(response)
        for index, raw in enumerate(response.output or ()):
            item = self._items.get(index)
            # Where all items are numbered alike, those that are missing at their places are not lacking.
            if self._begun < len(response.output or ()) if item is None else not item.done:
                self._item_done(index, raw)
        for item in self._items.values():
            item.close()
        events = self._advance(over=True)
        self._stopped = True
        reason = stop_reason_of(response, status, called=bool(self._call_ids), refused=self._refused)
        usage = None if response.usage is None else usage_of(response.usage)
        stopped = GenerationStopped(stop_reason=reason, usage=usage, extra=service_tier(response))
        return (*events, stopped)


def decode_response(body: bytes) -> Generation:
    """The answer an upstream sent as one document: the fold of what it would have streamed.

    Raises:
        RemoteWireError: It breaks JSON or the dialect, or holds no output.
        UpstreamError: It is an error that came with a status of success.
    """
    return fold(EventDecoder().whole(body))


def _response(raw: Raw) -> ResponseIn:
    return ResponseIn() if raw == NULL else decode(raw, _RESPONSE.decode, side="remote", at="response")


def _reasoning(raw: Raw) -> ReasoningIn:
    return decode(raw, _REASONING.decode, side="remote", at="item")


def _kind(raw: Raw) -> str | None:
    return None if raw == NULL else decode(raw, _KIND.decode, side="remote", at="item").type


def _text(raw: Raw, at: str) -> str:
    return "" if raw == NULL else decode(raw, _TEXT.decode, side="remote", at=at)
