"""What a scripted provider does, as values: replies made of steps, and the events a reply comes to.

In the configuration::

    [[providers.demo.script.replies]]
    steps = [
        { do = "text", text = "Let me look. ", pause_s = 0.05 },
        { do = "tool", name = "look_up", arguments = { city = "Oslo" } },
    ]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import Block, TextBlock, ThinkingBlock, ToolUseBlock
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
from callboard.domain.generation import GenerationRequest, StopReason
from callboard.domain.message import text_of
from callboard.domain.usage import Usage


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """One thing that a reply does; the subclasses say what."""


class Text(Step, frozen=True, kw_only=True, tag="text"):
    """Say something, word by word.

    Attributes:
        whole: Say it in one delta.
        pause_s: Seconds to wait before each delta.
    """

    text: str
    whole: bool = False
    pause_s: float = 0.0


class Thinking(Step, frozen=True, kw_only=True, tag="thinking"):
    """Think aloud, word by word."""

    thinking: str


class Tool(Step, frozen=True, kw_only=True, tag="tool"):
    """Call a tool.

    Attributes:
        arguments_text: Written instead of ``arguments``, be it JSON or not.
        id: By default ``call_R_N``: the N-th block of the R-th reply.
    """

    name: str
    arguments: Mapping[str, object] = {}
    arguments_text: str | None = None
    id: str | None = None


class Pause(Step, frozen=True, kw_only=True, tag="pause"):
    """Wait."""

    seconds: float


class Hold(Step, frozen=True, kw_only=True, tag="hold"):
    """Wait until the handler's gate of this name is opened."""

    gate: str


class Fail(Step, frozen=True, kw_only=True, tag="fail"):
    """Break off with an error; as the first step, instead of an answer.

    Attributes:
        error: ``type`` of a subclass of `callboard.errors.UpstreamError`.
    """

    error: str = "upstream_server_error"
    message: str = "the script says so"
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None


class Cut(Step, frozen=True, kw_only=True, tag="cut"):
    """The connection is lost: the answer ends without its end."""


AnyStep: TypeAlias = Text | Thinking | Tool | Pause | Hold | Fail | Cut
Effect: TypeAlias = GenerationEvent | Pause | Hold | Fail | Cut


class Reply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call gets.

    Attributes:
        stop_reason: None means ``tool_use`` where a tool was called and ``end_turn`` elsewhere.
        usage: What is reported: these figures, one token per word, or nothing.
    """

    steps: tuple[AnyStep, ...] = ()
    stop_reason: StopReason | None = None
    usage: Usage | Literal["count", "none"] = "count"


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The replies to the first calls, in order.

    Attributes:
        then: What later calls get: ``echo: <last user text>``, or the replies from the beginning again.
    """

    replies: tuple[Reply, ...] = ()
    then: Literal["echo", "repeat"] = "echo"

    def reply_to(self, request: GenerationRequest, number: int) -> Reply:
        """The reply to the call ``number``, counted from 0."""
        if number < len(self.replies):
            return self.replies[number]
        if self.then == "repeat" and self.replies:
            return self.replies[number % len(self.replies)]
        users = [message for message in request.messages if message.role == "user"]
        last = text_of(users[-1].content) if users else ""
        return Reply(steps=(Text(text=f"echo: {last}"),))


def effects(reply: Reply, request: GenerationRequest, *, model: str, number: int) -> Iterator[Effect]:
    """What a reply does, in order: events to show, and in between waits and ends.

    Everything before the first step that shows something comes before `GenerationStarted`.
    """
    writer = _Writer(model, number)
    for step in reply.steps:
        match step:
            case Text():
                yield from _say(writer, step)
            case Thinking():
                yield from writer.open(ThinkingBlock(thinking=""), kind="thinking")
                for word in words(step.thinking):
                    yield ThinkingDelta(index=writer.index, thinking=word)
            case Tool():
                yield from _call(writer, step)
            case Fail() | Cut():
                yield step
                return
            case Pause() | Hold():
                yield step
    yield from writer.close()
    stop_reason: StopReason = (
        "tool_use" if any(isinstance(step, Tool) for step in reply.steps) else "end_turn"
    )
    usage = counted(reply, request) if reply.usage == "count" else reply.usage
    yield GenerationStopped(
        stop_reason=reply.stop_reason or stop_reason, usage=usage if isinstance(usage, Usage) else None
    )


def words(text: str) -> list[str]:
    """The text in words, each with the white space that follows it; joined they are the text."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def counted(reply: Reply, request: GenerationRequest) -> Usage:
    """A token for every word of the instructions, the messages' text and the reply's text and thinking."""
    prompt = [block.text for block in request.system] + [text_of(each.content) for each in request.messages]
    written = [step.text for step in reply.steps if isinstance(step, Text)]
    thought = [step.thinking for step in reply.steps if isinstance(step, Thinking)]
    return Usage(
        input_tokens=_count(prompt),
        output_tokens=_count(written) + _count(thought),
        reasoning_tokens=_count(thought),
    )


def _count(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _say(writer: _Writer, step: Text) -> Iterator[Effect]:
    for piece in [step.text] if step.whole else words(step.text):
        yield from writer.open(TextBlock(text=""), kind="text")
        if step.pause_s > 0:
            yield Pause(seconds=step.pause_s)
        yield TextDelta(index=writer.index, text=piece)


def _call(writer: _Writer, step: Tool) -> Iterator[Effect]:
    call_id = step.id or f"call_{writer.number}_{writer.index + 1}"
    yield from writer.open(ToolUseBlock(id=call_id, name=step.name, input=Raw(b"{}")), kind="tool")
    text = step.arguments_text
    if text is None:
        text = msgspec.json.encode(step.arguments).decode()
    yield ArgumentsDelta(index=writer.index, partial_json=text)
    yield from writer.close()


class _Writer:
    """Keeps the order of events: a start, blocks one after the other, counted from 0."""

    def __init__(self, model: str, number: int) -> None:
        self.number = number
        self.index = -1
        self._model = model
        self._started = False
        self._kind: str | None = None

    def open(self, block: Block, *, kind: str) -> Iterator[GenerationEvent]:
        """Begin a block, unless one of this kind is open and goes on."""
        if self._kind == kind:
            return
        yield from self.close()
        self.index += 1
        self._kind = kind
        yield BlockStarted(index=self.index, block=block)

    def close(self) -> Iterator[GenerationEvent]:
        """End the open block, if there is one; begin the answer, if nothing has."""
        if not self._started:
            self._started = True
            yield GenerationStarted(id=f"scripted-{self.number}", model=self._model)
        if self._kind is not None:
            self._kind = None
            yield BlockStopped(index=self.index)
