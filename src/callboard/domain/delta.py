"""A generation as it streams: start, delta and end events, and their fold.

Order, for any provider::

    GenerationStarted (BlockStarted Delta* BlockStopped)* GenerationStopped

Blocks do not interleave and their indexes count 0, 1, 2 … without gaps; decoders of dialects that interleave
(parallel tool calls in OpenAI chunks) put the pieces in order. A stream that ends without
`GenerationStopped` was cut, and nothing may call it complete. The unary answer is ``fold(events)``.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from callboard.domain.block import Block, Extra
from callboard.domain.generation import StopReason
from callboard.domain.usage import Usage


class GenerationStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The upstream began to answer."""

    id: str
    model: str
    extra: Extra | None = None


class BlockStarted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Block ``index`` begins; ``block`` holds what is known already, its text or input still empty."""

    index: int
    block: Block


class TextDelta(Struct, frozen=True, kw_only=True, gc=False, tag=True, omit_defaults=True):
    """More text of a text block, with the log probabilities of its tokens where they were asked for."""

    index: int
    text: str
    logprobs: Raw | None = None


class ThinkingDelta(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """More of a thinking block."""

    index: int
    thinking: str


class SignatureDelta(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """More of a thinking block's signature."""

    index: int
    signature: str


class ArgumentsDelta(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """More JSON text of a tool call's arguments."""

    index: int
    partial_json: str


class BlockStopped(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Block ``index`` is complete."""

    index: int


class GenerationStopped(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The answer is complete; exactly one, and last.

    Attributes:
        usage: None where the upstream reported none.
    """

    stop_reason: StopReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    extra: Extra | None = None


GenerationEvent: TypeAlias = (
    GenerationStarted
    | BlockStarted
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ArgumentsDelta
    | BlockStopped
    | GenerationStopped
)
