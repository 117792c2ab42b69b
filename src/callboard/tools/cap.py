"""How much of a tool's result the model is shown."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.domain.block import ResultContent, TextBlock
from callboard.domain.tools import ToolOutcome

MAX_RESULT_BYTES = 256 * 1024


def capped(outcome: ToolOutcome, max_bytes: int = MAX_RESULT_BYTES) -> ToolOutcome:
    """``outcome`` with at most ``max_bytes`` of text, and a mark where the rest was cut.

    Images and documents stay as they are: half of one is of no use.
    """
    left = max_bytes
    kept: list[ResultContent] = []
    for block in outcome.content:
        if not isinstance(block, TextBlock):
            kept.append(block)
            continue
        data = block.text.encode()
        if len(data) <= left:
            kept.append(block)
            left -= len(data)
            continue
        shown = data[:left].decode(errors="ignore")
        mark = f"\n[{len(data) - len(shown.encode())} bytes of this result were cut]"
        kept.append(replace(block, text=shown + mark))
        left = 0
    return replace(outcome, content=tuple(kept))
