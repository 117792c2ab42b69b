"""Work that takes long, in steps: at once where nobody waits, in turns where others have work too.

What is linear in a conversation or a document takes tens of milliseconds where those are as large as a client
may make them. Such work is a generator that returns its result and yields every few milliseconds; of what is
small it is done without a single yield, at the price of a plain call.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

from anyio.lowlevel import checkpoint

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work in steps of a few milliseconds; what comes of it is returned when it is exhausted."""

IN_A_STEP = 500
"""So many blocks or messages are worked on in one step."""


def at_once(steps: Steps[T]) -> T:
    """All of the steps; returns what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


async def in_turns(steps: Steps[T]) -> T:
    """All of the steps, others' work between them; returns what comes of them, and raises what they raise."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await checkpoint()  # whoever is ready goes on
        await checkpoint()  # and whoever a socket or a timer has made ready, behind us, during the step
