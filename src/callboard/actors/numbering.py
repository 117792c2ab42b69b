"""Makes one answer of several: renumbers the blocks of a turn's generations, hides our tools' calls."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from callboard.domain.block import ToolUseBlock
from callboard.domain.delta import (
    BlockStarted,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
)


class Numbering:
    """Feed it every event of every generation of a turn; it gives back what the client is shown.

    Args:
        shown: Blocks that it was shown already, where the turn is continued.
    """

    def __init__(self, shown: int = 0) -> None:
        self._next = shown
        self._places: dict[int, int] = {}

    def next_generation(self) -> None:
        """The next round begins: its blocks count from 0 again."""
        self._places.clear()

    def shown(
        self, event: GenerationEvent, *, hide: Callable[[ToolUseBlock], bool]
    ) -> GenerationEvent | None:
        """``event`` as the client sees it, None where it does not.

        Starts and stops of single generations are not shown: the turn has one of each.
        """
        if isinstance(event, GenerationStarted | GenerationStopped):
            return None
        if isinstance(event, BlockStarted) and not (
            isinstance(event.block, ToolUseBlock) and hide(event.block)
        ):
            self._places[event.index] = self._next
            self._next += 1
        place = self._places.get(event.index)
        if place is None:
            return None
        return event if place == event.index else replace(event, index=place)
