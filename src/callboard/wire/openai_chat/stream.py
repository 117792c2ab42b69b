"""Streamed answers: chunks into events.

The dialect names the parts of a message by kind and index and may interleave them; the domain's blocks come
one after the other. So the parts stand in a queue in the order in which they began. The first of it streams:
its deltas pass at once. Those behind it collect their pieces, and the first gives way as soon as it is known
to be complete: text, when anything else has begun; a call, when its arguments are one whole JSON object.
Nearly always that is when the next begins, so nothing waits.

What a stream may leave out was learnt from servers that do: a call's index, its id, the calls' finish reason,
the usage, the end marker. What it may not leave out is both the finish reason and the end marker: such a
stream was cut.

Source: OpenAI API reference, "The chat completion chunk object".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from callboard.domain.arguments import EMPTY_INPUT
from callboard.domain.block import TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamServerError
from callboard.wire.json import decode
from callboard.wire.openai_chat.alike import Alike
from callboard.wire.openai_chat.calls import Call, Calls
from callboard.wire.openai_chat.encoder import ChunkEncoder
from callboard.wire.openai_chat.error import stream_error
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_chat.response import (
    extra_of,
    few,
    stop_reason_of,
    text_content,
    unique_id,
    usage_of,
)
from callboard.wire.openai_chat.schema import NULL, Chunk, ChunkChoice, Delta, Logprobs
from callboard.wire.sse import DONE_DATA

__all__ = ["ChunkDecoder", "ChunkEncoder"]

_CHUNK = msgspec.json.Decoder(Chunk)
LESSONS = 4
"""How often it is tried in a stream to learn what its chunks have in common."""

_NO_LOGPROBS = Logprobs()
_NO_TOKENS = (NULL, Raw(b"[]"))


class _Said:
    """Text, thinking or a refusal: a part that is complete as soon as something else begins."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.waiting: list[tuple[str, Raw | None]] = []


class ChunkDecoder:
    """The data of a stream's events in, the generation's events out, for the first of ``n`` choices."""

    def __init__(self) -> None:
        self._id = ""
        self._started = False
        self._stopped = False
        self._queue: deque[_Said | Call] = deque()
        self._open = False
        self._index = 0
        self._calls = Calls()
        self._call_ids: set[str] = set()
        self._refused = False
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._alike: Alike | None = None
        self._lessons = LESSONS

    def feed(self, data: bytes) -> tuple[GenerationEvent, ...]:
        """The events that one event's data completes.

        Raises:
            RemoteWireError: The data breaks JSON or the dialect.
            UpstreamError: The upstream reports an error instead of going on.
        """
        if self._alike is not None and (text := self._alike.text_of(data)):
            return (TextDelta(index=self._index, text=text),)
        self._alike = None
        if data == DONE_DATA or self._stopped:
            return () if self._stopped else self._stop()
        return self._read(data)

    def _read(self, data: bytes) -> tuple[GenerationEvent, ...]:
        chunk = decode(data, _CHUNK.decode, side="remote")
        if chunk.error is not NULL and chunk.error != NULL:
            raise stream_error(bytes(chunk.error))
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        if usage is not None:
            self._usage = usage_of(usage)
        if not chunk.choices:
            return self._stop() if usage is not None and self._finish_reason is not None else ()
        events: list[GenerationEvent] = []
        if not self._started:
            self._start(chunk, events)
        if chunk.choices[1:]:
            few(chunk.choices, "choices")
        for choice in chunk.choices:
            if not choice.index:
                self._choice(choice, events)
        if len(events) == 1 and self._lessons:
            self._learn(data, events[0])
        return tuple(events)

    def _learn(self, data: bytes, event: GenerationEvent) -> None:
        """Know the chunks that are like ``data``, where all it has said is more of a text."""
        if type(event) is TextDelta and event.logprobs is None and self._open and not self._refused:
            self._lessons -= 1
            self._alike = Alike.of(data, event.text)

    def end(self) -> tuple[GenerationEvent, ...]:
        """The stream has ended; the events that this completes.

        Raises:
            StreamIncomplete: It was cut: neither a finish reason nor the end marker has come.
        """
        if self._stopped:
            return ()
        if self._finish_reason is None:
            raise StreamIncomplete("the upstream's answer ended before it was complete")
        return self._stop()

    def _start(self, chunk: Chunk, events: list[GenerationEvent]) -> None:
        self._started = True
        self._id = chunk.id or ""
        extra = extra_of(chunk.system_fingerprint, chunk.service_tier)
        events.append(GenerationStarted(id=self._id, model=chunk.model or "", extra=extra))

    def _choice(self, choice: ChunkChoice, events: list[GenerationEvent]) -> None:
        if choice.delta is not None:
            self._delta(choice.delta, choice.logprobs or _NO_LOGPROBS, events)
        if choice.finish_reason:
            if choice.finish_reason == "error":
                raise UpstreamServerError("the upstream stopped with an error")
            self._finish_reason = choice.finish_reason
            self._drain(events)

    def _delta(self, delta: Delta, logprobs: Logprobs, events: list[GenerationEvent]) -> None:
        thinking = delta.reasoning_content or delta.reasoning
        if thinking:
            self._say("thinking", thinking, NULL, events)
        content = delta.content
        if content is not None:
            text = content if isinstance(content, str) else text_content(content)
            self._say("text", text, logprobs.content, events)
        if delta.refusal is not None:
            self._refused = self._refused or bool(delta.refusal)
            self._say("refusal", delta.refusal, logprobs.refusal, events)
        if delta.tool_calls:
            for piece in few(delta.tool_calls, "tool calls"):
                call = self._calls.of(piece)
                self._call(call, call.add(piece.function), events)
        if delta.function_call is not None:
            call = self._calls.legacy()
            self._call(call, call.add(delta.function_call), events)

    def _say(self, kind: str, text: str, logprobs: Raw, events: list[GenerationEvent]) -> None:
        tokens = None if logprobs is NULL or logprobs in _NO_TOKENS else logprobs
        if not text and tokens is None:
            return
        last = self._queue[-1] if self._queue else None
        if not isinstance(last, _Said) or last.kind != kind:
            last = _Said(kind)
            self._queue.append(last)
        if self._open and last is self._queue[0]:
            events.append(self._said(kind, text, tokens))
        else:
            last.waiting.append((text, tokens))
            self._advance(events)

    def _call(self, call: Call, arguments: str, events: list[GenerationEvent]) -> None:
        if call.closed:
            if arguments.strip():
                raise RemoteWireError("a tool call went on although its arguments were complete")
            return
        if not call.queued:
            call.queued = True
            self._queue.append(call)
        if self._open and call is self._queue[0]:
            if arguments:
                events.append(ArgumentsDelta(index=self._index, partial_json=arguments))
            return
        if arguments:
            call.waiting.append(arguments)
        self._advance(events)

    def _advance(self, events: list[GenerationEvent]) -> None:
        """Let the first part give way if it is complete, and the next one begin."""
        while len(self._queue) > 1 and (isinstance(self._queue[0], _Said) or self._queue[0].complete):
            self._begin(events)
            self._close(events)
        first = self._queue[0]
        if isinstance(first, _Said) or first.name:
            self._begin(events)

    def _drain(self, events: list[GenerationEvent]) -> None:
        while self._queue:
            self._begin(events)
            self._close(events)

    def _begin(self, events: list[GenerationEvent]) -> None:
        """Open the first part's block, if that has not been done, and hand on what it has collected."""
        if self._open:
            return
        self._open = True
        part = self._queue[0]
        if isinstance(part, Call):
            call_id = unique_id(part.sent_id, self._call_ids, self._id)
            block = ToolUseBlock(id=call_id, name=part.name, input=EMPTY_INPUT)
            events.append(BlockStarted(index=self._index, block=block))
            events += [ArgumentsDelta(index=self._index, partial_json=text) for text in part.waiting]
        else:
            events.append(BlockStarted(index=self._index, block=_EMPTY[part.kind]))
            events += [self._said(part.kind, text, tokens) for text, tokens in part.waiting]
        part.waiting.clear()

    def _close(self, events: list[GenerationEvent]) -> None:
        part = self._queue.popleft()
        if isinstance(part, Call):
            part.closed = True
        events.append(BlockStopped(index=self._index))
        self._index += 1
        self._open = False

    def _said(self, kind: str, text: str, tokens: Raw | None) -> GenerationEvent:
        if kind == "thinking":
            return ThinkingDelta(index=self._index, thinking=text)
        return TextDelta(index=self._index, text=text, logprobs=tokens)

    def _stop(self) -> tuple[GenerationEvent, ...]:
        if not self._started:
            raise RemoteWireError("the upstream's stream holds no choice")
        self._stopped = True
        events: list[GenerationEvent] = []
        self._drain(events)
        reason = stop_reason_of(self._finish_reason, called=bool(self._calls), refused=self._refused)
        events.append(GenerationStopped(stop_reason=reason, usage=self._usage))
        return tuple(events)


_EMPTY: Mapping[str, TextBlock | ThinkingBlock] = {
    "text": TextBlock(text=""),
    "refusal": TextBlock(text="", extra={REFUSAL: TRUE}),
    "thinking": ThinkingBlock(thinking=""),
}
