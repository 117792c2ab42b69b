"""The SDK's description of a tool becomes ours."""

from __future__ import annotations

import mcp_types
import msgspec
from msgspec import Raw

from callboard.tools.definitions import SourceTool
from callboard.tools.source import ToolTraits


def source_tool(tool: mcp_types.Tool) -> SourceTool:
    """A tool as its server describes it. What it hints at is a claim until the operator trusts the server."""
    hints = tool.annotations
    idempotent = hints is not None and bool(hints.idempotent_hint or hints.read_only_hint)
    execution = tool.execution
    title = tool.title or (hints.title if hints is not None else None)
    return SourceTool(
        name=_encodable(tool.name),
        description=_encodable(tool.description or title or ""),
        input_schema=Raw(msgspec.json.encode(tool.input_schema)),
        hints=Raw(b"{}") if hints is None else Raw(hints.model_dump_json(exclude_none=True).encode()),
        traits=ToolTraits(idempotent=idempotent),
        read_only=hints is not None and bool(hints.read_only_hint),
        task_only=execution is not None and execution.task_support == "required",
    )


def _encodable(text: str) -> str:
    """``text`` without halves of characters, which JSON can spell and nobody can send."""
    return text.encode(errors="replace").decode()
