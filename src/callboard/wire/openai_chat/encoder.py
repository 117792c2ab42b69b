"""Streamed answers: events into chunks, as OpenAI sends them.

All chunks of an answer are alike but for a few bytes, so those that do not change are made once and a text
delta costs the encoding of its text.

Source: OpenAI API reference, "The chat completion chunk object"; ``stream_options.include_usage`` for
``usage``.
"""

from __future__ import annotations

import msgspec

from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.generation import StopReason
from callboard.wire.openai_chat.outgoing import is_refusal
from callboard.wire.openai_chat.response import FINISH_REASONS, encode_usage
from callboard.wire.sse import DONE

_encode = msgspec.json.Encoder().encode


class ChunkEncoder:
    """The events of a generation in, server-sent events out; each `feed` returns whole events, or nothing."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the dialect's name for it
        model: str,
        created: int,
        include_usage: bool,
    ) -> None:
        """``created`` is in seconds since the epoch; ``include_usage`` as the client asked."""
        head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + _encode(head)[:-1]
        self._include_usage = include_usage
        self._calls = -1
        self._refusing = False
        self._refused = False
        self._frame(b"null")

    def feed(self, event: GenerationEvent) -> bytes:
        """The chunks that tell of ``event``; empty for what the dialect has no words for."""
        match event:
            case TextDelta():
                return self._text(event)
            case ArgumentsDelta():
                arguments = _encode(event.partial_json)
                delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (
                    self._calls,
                    arguments,
                )
            case ThinkingDelta():
                delta = b'{"reasoning_content":%b}' % _encode(event.thinking)
            case BlockStarted():
                delta = self._begun(event)
            case GenerationStarted():
                self._frame(_encode((event.extra or {}).get("system_fingerprint")))
                delta = b'{"role":"assistant","content":"","refusal":null}'
            case GenerationStopped():
                return self._stopped(event)
            case BlockStopped() | SignatureDelta():
                delta = b""
        return self._before + delta + self._after if delta else b""

    def _frame(self, system_fingerprint: bytes) -> None:
        """What stands before and after each delta."""
        self._document = self._head + b',"system_fingerprint":%b' % system_fingerprint
        usage = b',"usage":null' if self._include_usage else b""
        self._before = self._document + b',"choices":[{"index":0,"delta":'
        self._tail = b"}]" + usage + b"}\n\n"
        self._after = b',"logprobs":null,"finish_reason":null' + self._tail

    def _text(self, event: TextDelta) -> bytes:
        name = b"refusal" if self._refusing else b"content"
        text = _encode(event.text)
        if event.logprobs is None:
            return b'%b{"%b":%b}%b' % (self._before, name, text, self._after)
        other = b"content" if self._refusing else b"refusal"
        logprobs = b'{"%b":%b,"%b":null}' % (name, bytes(event.logprobs), other)
        tail = b',"logprobs":%b,"finish_reason":null%b' % (logprobs, self._tail)
        return b'%b{"%b":%b}%b' % (self._before, name, text, tail)

    def _begun(self, event: BlockStarted) -> bytes:
        block = event.block
        self._refusing = isinstance(block, TextBlock) and is_refusal(block)
        self._refused = self._refused or self._refusing
        if not isinstance(block, ToolUseBlock):
            return b""
        self._calls += 1
        call = _encode({"name": block.name, "arguments": ""})
        call_id = _encode(block.id)
        return b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":%b}]}' % (
            self._calls,
            call_id,
            call,
        )

    def _stopped(self, event: GenerationStopped) -> bytes:
        reason = _encode(self._finish_reason(event.stop_reason))
        last = b'%b{},"logprobs":null,"finish_reason":%b%b' % (self._before, reason, self._tail)
        if not self._include_usage or event.usage is None:
            return last + DONE
        usage = _encode(encode_usage(event.usage))
        return b'%b%b,"choices":[],"usage":%b}\n\n%b' % (last, self._document, usage, DONE)

    def _finish_reason(self, reason: StopReason) -> str:
        # A refusal in words is an answer like any other; the words are marked.
        return "stop" if self._refused and reason == "refusal" else FINISH_REASONS[reason]
