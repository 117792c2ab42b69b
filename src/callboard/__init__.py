"""Callboard: the durable runtime for LLM assistants that you can import.

::

    import callboard

    @callboard.tool
    def add(a: float, b: float) -> float:
        "Add two numbers."
        return a + b

    async with callboard.open_runtime(tools=[add]) as runtime:
        reply = await runtime.ask("default", "What is 17 + 25?")

The names below are the public ones. They are imported when they are first used, so that ``import
callboard``, and with it ``callboard.kernel`` alone, stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "CallboardError",
    "Config",
    "Reply",
    "Runtime",
    "ToolContext",
    "ToolError",
    "build_app",
    "open_runtime",
    "tool",
]

_HOMES = {
    "CallboardError": "callboard.errors",
    "Config": "callboard.config",
    "Reply": "callboard.domain.turn",
    "Runtime": "callboard.runtime",
    "ToolContext": "callboard.tools.context",
    "ToolError": "callboard.errors",
    "build_app": "callboard.serving.assembly",
    "open_runtime": "callboard.runtime",
    "tool": "callboard.tools.function",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
