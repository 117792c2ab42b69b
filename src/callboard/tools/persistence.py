"""When a call is made again: only after a lost connection or a time limit, only where that does no harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from callboard.tools.source import SourceUnavailable

R = TypeVar("R")

RETRIES = 2
PAUSE_S = 1.0


async def persistently(attempt: Callable[[], Awaitable[R]], *, idempotent: bool) -> R:
    """What ``attempt`` comes to; an ``idempotent`` one is tried up to three times, a second apart.

    Raises:
        TimeoutError: The last attempt took too long.
        SourceUnavailable: The last attempt found or left nobody there.
    """
    for left in range(RETRIES if idempotent else 0, -1, -1):
        try:
            return await attempt()
        except (TimeoutError, SourceUnavailable):
            if not left:
                raise
        await anyio.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")
