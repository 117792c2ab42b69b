"""Folding a stream into the finished generation, and taking one apart again.

``fold(events_of(generation)) == generation``: a provider that does not stream gives the same events as one
that does, and an unstreamed answer is the fold of a streamed one. There is no second way to build either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from callboard.domain.arguments import EMPTY_INPUT, INVALID_ARGUMENTS, arguments_of, tool_use
from callboard.domain.block import Block, Extra, TextBlock, ThinkingBlock, ToolUseBlock
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
from callboard.domain.generation import Generation
from callboard.errors import RemoteWireError, StreamIncomplete

LOGPROBS = "logprobs"
"""Key in a text block's ``extra``: its tokens' log probabilities, one JSON array over all deltas."""


class Fold:
    """Collects the events of one generation. Blocks that are complete can be read while it goes on.

    Attributes:
        content: The blocks that are complete.
    """

    def __init__(self) -> None:
        self.content: list[Block] = []
        self._started: GenerationStarted | None = None
        self._stopped: GenerationStopped | None = None
        self._open: Block | None = None
        self._text: list[str] = []
        self._signature: list[str] = []
        self._logprobs: list[bytes] = []
        self._closed_length = 0

    def apply(self, event: GenerationEvent) -> None:
        """Take in the next event.

        Raises:
            RemoteWireError: The event breaks the order that `callboard.domain.delta` states.
        """
        match event:
            case TextDelta():  # nearly all there is, so this is written out
                if type(self._open) is not TextBlock or event.index != len(self.content):
                    raise _disorder()
                self._text.append(event.text)
                if event.logprobs is not None:
                    self._logprobs.append(bytes(event.logprobs))
            case ArgumentsDelta():
                self._expect(ToolUseBlock, event.index)
                self._text.append(event.partial_json)
            case ThinkingDelta():
                self._expect(ThinkingBlock, event.index)
                self._text.append(event.thinking)
            case SignatureDelta():
                self._expect(ThinkingBlock, event.index)
                self._signature.append(event.signature)
            case BlockStarted():
                self._begin(event)
            case BlockStopped():
                self.content.append(self._close(event.index))
            case GenerationStarted() | GenerationStopped():
                self._bound(event)

    @property
    def within_a_block(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._open is not None

    def result(self) -> Generation:
        """The finished generation.

        Raises:
            StreamIncomplete: `GenerationStopped` has not come.
        """
        started, stopped = self._started, self._stopped
        if started is None or stopped is None:
            raise StreamIncomplete("the answer ended before it was complete")
        return Generation(
            id=started.id,
            model=started.model,
            content=tuple(self.content),
            stop_reason=stopped.stop_reason,
            stop_sequence=stopped.stop_sequence,
            usage=stopped.usage,
            extra={**(started.extra or {}), **(stopped.extra or {})} or None,
        )

    @property
    def text_length(self) -> int:
        """Characters of all deltas so far but of signatures."""
        return self._closed_length + sum(map(len, self._text))

    def _bound(self, event: GenerationStarted | GenerationStopped) -> None:
        if isinstance(event, GenerationStarted):
            if self._started is not None:
                raise _disorder()
            self._started = event
        elif self._started is None or self._open is not None or self._stopped is not None:
            raise _disorder()
        else:
            self._stopped = event

    def _expect(self, kind: type[Block], index: int) -> None:
        if type(self._open) is not kind or index != len(self.content):
            raise _disorder()

    def _begin(self, event: BlockStarted) -> None:
        if (
            self._started is None
            or self._stopped is not None
            or self._open is not None
            or event.index != len(self.content)
        ):
            raise _disorder()
        self._open = event.block

    def _close(self, index: int) -> Block:
        block = self._open
        if block is None or index != len(self.content):
            raise _disorder()
        closed = self._finished(block)
        self._closed_length = self.text_length
        self._open = None
        self._text.clear()
        self._signature.clear()
        self._logprobs.clear()
        return closed

    def _finished(self, block: Block) -> Block:
        text = "".join(self._text)
        match block:
            case TextBlock():
                extra = block.extra
                if self._logprobs:
                    extra = {**(extra or {}), LOGPROBS: _joined(self._logprobs)}
                return TextBlock(text=block.text + text, extra=extra)
            case ToolUseBlock():
                if not text:
                    return block
                called = tool_use(block.id, block.name, text)
                extra = {**(block.extra or {}), **(called.extra or {})}
                return msgspec.structs.replace(called, extra=extra or None)
            case ThinkingBlock():
                return ThinkingBlock(
                    thinking=block.thinking + text,
                    signature=block.signature + "".join(self._signature),
                    extra=block.extra,
                )
            case _:
                return block


def fold(events: Iterable[GenerationEvent]) -> Generation:
    """The generation that a whole stream makes.

    Raises:
        StreamIncomplete: The stream was cut.
        RemoteWireError: Its events are out of order.
    """
    folding = Fold()
    for event in events:
        folding.apply(event)
    return folding.result()


def events_of(generation: Generation) -> Iterator[GenerationEvent]:
    """The shortest stream whose fold is ``generation``: one delta for each part that has content."""
    yield GenerationStarted(id=generation.id, model=generation.model)
    for index, block in enumerate(generation.content):
        yield from _events_of_block(index, block)
        yield BlockStopped(index=index)
    yield GenerationStopped(
        stop_reason=generation.stop_reason,
        stop_sequence=generation.stop_sequence,
        usage=generation.usage,
        extra=generation.extra,
    )


def _events_of_block(index: int, block: Block) -> Iterator[GenerationEvent]:
    match block:
        case TextBlock():
            logprobs = (block.extra or {}).get(LOGPROBS)
            yield BlockStarted(index=index, block=TextBlock(text="", extra=_without(block.extra, LOGPROBS)))
            if block.text or logprobs is not None:
                yield TextDelta(index=index, text=block.text, logprobs=logprobs)
        case ToolUseBlock():
            extra = _without(block.extra, INVALID_ARGUMENTS)
            begun = ToolUseBlock(id=block.id, name=block.name, input=EMPTY_INPUT, extra=extra)
            yield BlockStarted(index=index, block=begun)
            yield ArgumentsDelta(index=index, partial_json=arguments_of(block))
        case ThinkingBlock():
            yield BlockStarted(index=index, block=ThinkingBlock(thinking="", extra=block.extra))
            if block.thinking:
                yield ThinkingDelta(index=index, thinking=block.thinking)
            if block.signature:
                yield SignatureDelta(index=index, signature=block.signature)
        case _:
            yield BlockStarted(index=index, block=block)


def _without(extra: Extra | None, key: str) -> Extra | None:
    if extra is None or key not in extra:
        return extra
    return {name: value for name, value in extra.items() if name != key} or None


def _joined(arrays: list[bytes]) -> Raw:
    if len(arrays) == 1:
        return Raw(arrays[0])
    return Raw(b"[" + b",".join(inner for array in arrays if (inner := array.strip()[1:-1].strip())) + b"]")


def _disorder() -> RemoteWireError:
    return RemoteWireError("the events of the answer are out of order")
