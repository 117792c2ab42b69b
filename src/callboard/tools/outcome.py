"""What a function returned, in the words a model reads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from callboard.domain.block import DocumentBlock, ImageBlock, OpaqueBlock, ResultContent, TextBlock
from callboard.domain.tools import ToolOutcome
from callboard.tools import foreign

NO_OUTPUT = "Tool returned no output."
"""What the model reads where a tool returned nothing; providers refuse empty text."""


def outcome_of(result: object) -> ToolOutcome:
    """What a function returned, as an outcome.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: JSON cannot carry it.
    """
    match result:
        case ToolOutcome():
            return result
        case TextBlock() | ImageBlock() | DocumentBlock() | OpaqueBlock():
            return ToolOutcome(content=(result,))
        case None | "":
            return _text(NO_OUTPUT)
        case str():
            return _text(str(result))
        case list() | tuple() if blocks := _blocks(result):
            return ToolOutcome(content=blocks)
    return _text(msgspec.json.encode(result, enc_hook=foreign.encode).decode())


def _text(text: str) -> ToolOutcome:
    return ToolOutcome(content=(TextBlock(text=text),))


def _blocks(result: Iterable[object]) -> tuple[ResultContent, ...]:
    """``result`` as blocks, or nothing where any of it is something else."""
    blocks: list[ResultContent] = []
    for each in result:
        if not isinstance(each, TextBlock | ImageBlock | DocumentBlock | OpaqueBlock):
            return ()
        blocks.append(each)
    return tuple(blocks)
