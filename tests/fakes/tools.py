"""Tools that say how often they were run."""

from __future__ import annotations

import anyio
from msgspec import Struct

import callboard
from callboard.tools.function import FunctionTool


class Counted(Struct, eq=False):
    """A tool, how often it was run, and whether it is running."""

    tool: FunctionTool[..., object]
    running: anyio.Event
    runs: int = 0


def counted(*, idempotent: bool, holds: bool = False) -> Counted:
    """The tool ``count``; one that ``holds`` never comes to an end by itself."""

    @callboard.tool(idempotent=idempotent)
    async def count() -> str:
        """Count."""
        found.runs += 1
        found.running.set()
        if holds:
            await anyio.sleep_forever()
        return "counted"

    found = Counted(count, anyio.Event())
    return found
