"""The block that tells a model what its tool call came to; the same for every provider.

The texts are legacy-use's: a note that is the system's and not the tool's goes in front of the output in
``<system>`` tags, and a tool that returned nothing is said to have returned nothing, because an empty result
makes models call again.
"""

from __future__ import annotations

from msgspec import Raw

from callboard.domain.block import ResultContent, TextBlock, ToolResultBlock
from callboard.domain.tools import ToolOutcome

NO_OUTPUT = "system: Tool returned no output."
SYSTEM_NOTE = {"system": Raw(b"true")}


def system_note(text: str) -> TextBlock:
    """A block of an outcome that is the system's remark and not the tool's output."""
    return TextBlock(text=text, extra=SYSTEM_NOTE)


def tool_result(tool_use_id: str, outcome: ToolOutcome) -> ToolResultBlock:
    """The result block of a call: notes in front of the first text, empty texts left out, never empty."""
    notes = [block for block in outcome.content if _is_note(block)]
    content = [block for block in outcome.content if not _is_note(block) and not _is_empty(block)]
    if not content:
        content = [TextBlock(text=NO_OUTPUT)]
    if notes:
        content = _with_prefix("".join(f"<system>{_text(note)}</system>\n" for note in notes), content)
    return ToolResultBlock(tool_use_id=tool_use_id, content=tuple(content), is_error=outcome.is_error)


def _with_prefix(prefix: str, content: list[ResultContent]) -> list[ResultContent]:
    first = content[0]
    if isinstance(first, TextBlock):
        return [TextBlock(text=prefix + first.text, extra=first.extra), *content[1:]]
    return [TextBlock(text=prefix), *content]


def _is_note(block: ResultContent) -> bool:
    return isinstance(block, TextBlock) and (block.extra or {}).get("system") == SYSTEM_NOTE["system"]


def _is_empty(block: ResultContent) -> bool:
    return isinstance(block, TextBlock) and not block.text


def _text(block: ResultContent) -> str:
    return block.text if isinstance(block, TextBlock) else ""
