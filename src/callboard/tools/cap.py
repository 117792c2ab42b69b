"""How much of a tool's result the model is shown."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.domain.block import Base64Source, ResultContent, TextBlock
from callboard.domain.tools import ToolOutcome

MAX_RESULT_BYTES = 256 * 1024
MAX_ATTACHED_BYTES = 4 * 1024 * 1024
"""Of images and documents together, as they are encoded; half of one is of no use."""


def capped(outcome: ToolOutcome, max_bytes: int = MAX_RESULT_BYTES) -> ToolOutcome:
    """``outcome`` with at most ``max_bytes`` of text, and a mark where the rest was cut.

    An image or a document is left out whole, with a mark in its place, where it and those before it have more
    than `MAX_ATTACHED_BYTES`.
    """
    left, left_attached = max_bytes, MAX_ATTACHED_BYTES
    kept: list[ResultContent] = []
    for block in outcome.content:
        if not isinstance(block, TextBlock):
            size = _attached_bytes(block)
            fits = size <= left_attached
            left_attached -= size if fits else 0
            kept.append(block if fits else TextBlock(text=f"[an attachment of {size} bytes was left out]"))
            continue
        data = block.text.encode(errors="replace")
        if len(data) <= left:
            kept.append(block)
            left -= len(data)
            continue
        shown = data[:left].decode(errors="ignore")
        mark = f"\n[{len(data) - len(shown.encode())} bytes of this result were cut]"
        kept.append(replace(block, text=shown + mark))
        left = 0
    return replace(outcome, content=tuple(kept))


def _attached_bytes(block: ResultContent) -> int:
    source = getattr(block, "source", None)
    if isinstance(source, Base64Source):
        return len(source.data)
    raw = getattr(block, "raw", None)
    return 0 if raw is None else len(bytes(raw))
