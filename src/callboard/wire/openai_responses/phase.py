"""The phase of a message: what kind of saying the model calls it.

A model wants to be told its phases again, whoever keeps the conversation: so they go to the client with its
items, come back with them, and go to the upstream. Which words there are is the model's to say.

Source: Open Responses specification, 2026-04-24, "Message": "preserve and resend phase on all assistant
messages. Omitting it can degrade performance."
"""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import Block, TextBlock

PHASE = "phase"
"""Key in a text block's ``extra``: the phase of the message that it was."""

_TEXT = msgspec.json.Decoder(str)


def phase_of(block: TextBlock) -> str | None:
    """The phase of the message that ``block`` was; None where nobody said."""
    raw = None if block.extra is None else block.extra.get(PHASE)
    return None if raw is None else _TEXT.decode(raw)


def phased(block: Block, phase: str | None) -> Block:
    """``block`` as said in a phase."""
    if phase is None or not isinstance(block, TextBlock):
        return block
    return replace(block, extra={**(block.extra or {}), PHASE: Raw(msgspec.json.encode(phase))})
