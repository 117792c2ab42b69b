"""What the loader has to understand of an answer: which events carry content, its tokens, whether it is over.

Everything else in an answer stays bytes.

Source: OpenAI API reference, "Chat Completions" streaming and "Responses" streaming events.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import Struct

from callboard.bench.plan import Api
from callboard.wire.json import decode
from callboard.wire.sse import DONE_DATA


class _Usage(Struct):
    completion_tokens: int | None = None
    output_tokens: int | None = None


class _Delta(Struct):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: object = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: object = None


class _Response(Struct):
    status: str | None = None
    usage: _Usage | None = None
    error: object = None


class _Event(Struct):
    type: str = ""
    delta: object = None
    response: _Response | None = None


_CHUNK = msgspec.json.Decoder(_Chunk).decode
_EVENT = msgspec.json.Decoder(_Event).decode
_WHOLE = msgspec.json.Decoder(_Response).decode


class Reading(Protocol):
    """A streamed answer being read.

    Attributes:
        tokens: Output tokens that the target reported; None where it did not.
        over: The answer said that it is complete.
        failed: The answer said that it failed.
    """

    tokens: int | None
    over: bool
    failed: bool

    def take(self, data: bytes) -> bool:
        """Read one event's data; returns whether it carried content.

        Raises:
            RemoteWireError: It is not what the dialect sends.
        """


class ChatReading:
    """A `Reading` of chat completion chunks; over at ``[DONE]``, or at a reason to finish."""

    __slots__ = ("failed", "over", "tokens")

    def __init__(self) -> None:
        self.tokens: int | None = None
        self.over = False
        self.failed = False

    def take(self, data: bytes) -> bool:
        """Read one event; see `Reading`."""
        if data == DONE_DATA:
            self.over = True
            return False
        chunk = decode(data, _CHUNK, side="remote")
        if chunk.error is not None:
            self.failed = True
        if chunk.usage is not None:
            self.tokens = _tokens(chunk.usage)
        content = False
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                self.over = True
            delta = choice.delta
            if delta is not None and (
                delta.content
                or delta.reasoning_content
                or delta.reasoning
                or delta.refusal
                or delta.tool_calls
            ):
                content = True
        return content


class ResponsesReading:
    """A `Reading` of the Responses API's events; over when the response is completed or incomplete."""

    __slots__ = ("failed", "over", "tokens")

    def __init__(self) -> None:
        self.tokens: int | None = None
        self.over = False
        self.failed = False

    def take(self, data: bytes) -> bool:
        """Read one event; see `Reading`."""
        if data == DONE_DATA:  # some servers end this dialect's streams like the other's
            return False
        event = decode(data, _EVENT, side="remote")
        if event.type.endswith(".delta"):
            return bool(event.delta)
        match event.type:
            case "response.completed" | "response.incomplete":
                self.over = True
                if event.response is not None and event.response.usage is not None:
                    self.tokens = _tokens(event.response.usage)
            case "response.failed" | "error":
                self.failed = True
            case _:
                pass
        return False


def reading_of(api: Api) -> Reading:
    """What reads a stream of this API."""
    return ChatReading() if api == "chat" else ResponsesReading()


def read_whole(body: bytes) -> tuple[int | None, bool]:
    """Read an unstreamed answer of either API.

    Returns:
        The output tokens it reports, None where it does not; and whether it says that it failed.

    Raises:
        RemoteWireError: It is not a JSON object.
    """
    answer = decode(body, _WHOLE, side="remote")
    failed = answer.error is not None or answer.status == "failed"
    return (None if answer.usage is None else _tokens(answer.usage)), failed


def _tokens(usage: _Usage) -> int | None:
    return usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
