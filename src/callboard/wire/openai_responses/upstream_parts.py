"""The parts of an answer while it arrives: each becomes a block once it has something to say.

A part hears of its content up to three times: piece by piece, whole when the part is done, and whole again in
its item. What the pieces have said is not said again; what they have left out is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard.domain.arguments import EMPTY_INPUT
from callboard.domain.block import (
    Block,
    Extra,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from callboard.domain.delta import ArgumentsDelta, GenerationEvent, TextDelta, ThinkingDelta
from callboard.domain.item import ITEM_ID
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.outgoing import IN_THE_OPEN
from callboard.wire.openai_responses.phase import phased
from callboard.wire.openai_responses.schema import NULL

Kind: TypeAlias = Literal["text", "refusal", "thinking", "call"]

_NO_TOKENS = (NULL, Raw(b"[]"))


class Part:
    """A part of an answer: text, a refusal, a thought or a call.

    Attributes:
        waiting: Pieces that were not handed on, each with its tokens' log probabilities.
        opened: Its block has begun.
        done: Nothing more is to come.
        item_id: Of a thought.
        signature: Of a thought: its encrypted form.
        in_the_open: Whether a thought came as text (True) or as a summary; None as long as nothing did.
        call_id, name: Of a call; empty until they are known.
        phase: Of the message that it is part of.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.waiting: list[tuple[str, Raw | None]] = []
        self.opened = False
        self.done = False
        self.item_id: str | None = None
        self.signature = ""
        self.in_the_open: bool | None = None
        self.call_id = ""
        self.name = ""
        self.phase: str | None = None
        self._said: list[str] = []
        self._length = 0
        self._paragraph = 0

    @property
    def ready(self) -> bool:
        """Whether its block can begin: it has something to say, and a call knows who is called."""
        if self.kind == "call":
            return self.done or bool(self.call_id and self.name)
        return bool(self.waiting)

    def add(self, text: str, logprobs: Raw = NULL) -> None:
        """Take in a piece; one that comes after the end has been heard of already."""
        tokens = None if logprobs in _NO_TOKENS else logprobs.copy()
        if self.done or not (text or tokens is not None):
            return
        self._said.append(text)
        self._length += len(text)
        self.waiting.append((text, tokens))

    def add_thought(self, text: str, *, in_the_open: bool, paragraph: int = 0) -> None:
        """Take in a piece of a thought; of a text and a summary, whichever came first is heard."""
        if not text or self.in_the_open not in {None, in_the_open}:
            return
        self.in_the_open = in_the_open
        if paragraph > self._paragraph and self._said:
            self.add("\n\n")
        self._paragraph = paragraph
        self.add(text)

    def fill_thought(self, whole: str, *, in_the_open: bool, paragraph: int = 0) -> None:
        """Take in the ``whole`` of a paragraph of which no piece has come.

        One that those before it have not come to yet is left for the item, which tells them all in order.
        """
        if paragraph == (self._paragraph + 1 if self._said else 0):
            self.add_thought(whole, in_the_open=in_the_open, paragraph=paragraph)

    def fill(self, whole: str, logprobs: Raw = NULL) -> None:
        """Take in what the pieces have left out of the ``whole``; where they differ, what was said stays."""
        if len(whole) > self._length and whole.startswith("".join(self._said)):
            self.add(whole[self._length :], NULL if self._said else logprobs)

    def block(self, call_id: str) -> Block:
        """The block, as it begins; ``call_id`` is for a call."""
        match self.kind:
            case "call":
                return ToolUseBlock(id=call_id, name=self.name, input=EMPTY_INPUT)
            case "thinking":
                mark = {IN_THE_OPEN: TRUE} if self.in_the_open else {}
                return ThinkingBlock(thinking="", extra={**self._identified(), **mark} or None)
            case _:
                mark = {REFUSAL: TRUE} if self.kind == "refusal" else {}
                return phased(TextBlock(text="", extra=mark or None), self.phase)

    def redacted(self) -> RedactedThinkingBlock | None:
        """A thought that only its encrypted form tells of; None for all other parts."""
        if not self.signature or self.opened or self.waiting:
            return None
        return RedactedThinkingBlock(data=self.signature, extra=self._identified() or None)

    def delta(self, index: int, text: str, tokens: Raw | None) -> GenerationEvent:
        """The event of a piece."""
        match self.kind:
            case "call":
                return ArgumentsDelta(index=index, partial_json=text)
            case "thinking":
                return ThinkingDelta(index=index, thinking=text)
            case _:
                return TextDelta(index=index, text=text, logprobs=tokens)

    def _identified(self) -> Extra:
        return {} if self.item_id is None else {ITEM_ID: Raw(msgspec.json.encode(self.item_id))}


class Item:
    """An output item.

    Attributes:
        parts: By what they are and where they stand in it, in the order in which they began.
        left: Those that have not given way yet.
        done: Nothing more is to come.
        phase: Of a message.
    """

    def __init__(self) -> None:
        self.parts: dict[tuple[Kind, int], Part] = {}
        self.left: deque[Part] = deque()
        self.done = False
        self.phase: str | None = None

    def part(self, kind: Kind, at: int = 0) -> Part:
        """The part of a kind, at a place; it begins where nobody has heard of it."""
        part = self.parts.get((kind, at))
        if part is None:
            part = self.parts[kind, at] = Part(kind)
            part.phase = self.phase
            self.left.append(part)
        return part

    def close(self) -> None:
        """Nothing more is to come."""
        self.done = True
        for part in self.left:
            part.done = True


class Said(Struct, frozen=True):
    """What a kind of event says something of."""

    kind: Kind
    in_the_open: bool = False


_SAID: Mapping[str, Said] = {
    "response.output_text": Said("text"),
    "response.refusal": Said("refusal"),
    "response.function_call_arguments": Said("call"),
    "response.reasoning_summary_text": Said("thinking"),
    "response.reasoning_text": Said("thinking", in_the_open=True),
    "response.reasoning": Said("thinking", in_the_open=True),  # Open Responses
}

PIECES: Mapping[str, Said] = {f"{name}.delta": said for name, said in _SAID.items()}
WHOLES: Mapping[str, Said] = {f"{name}.done": said for name, said in _SAID.items()}
