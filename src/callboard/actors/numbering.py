"""Makes one answer of several: renumbers the blocks of a turn's generations, hides our tools' calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from callboard.domain.block import ToolUseBlock
from callboard.domain.delta import (
    BlockStarted,
    GenerationEvent,
    GenerationStarted,
    GenerationStopped,
)


class Numbering:
    """Feed it all events of every generation of a turn; it gives back what the client is shown.

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
        self, events: Iterable[GenerationEvent], *, hide: Callable[[ToolUseBlock], bool]
    ) -> list[GenerationEvent]:
        """``events`` as the client sees them, without those that it does not see.

        Starts and stops of single generations are not shown: the turn has one of each.
        """
        places = self._places
        shown: list[GenerationEvent] = []
        for event in events:
            if isinstance(event, (GenerationStarted, GenerationStopped)):
                continue
            if isinstance(event, BlockStarted) and not (
                isinstance(event.block, ToolUseBlock) and hide(event.block)
            ):
                places[event.index] = self._next
                self._next += 1
            place = places.get(event.index)
            if place is not None:
                shown.append(event if place == event.index else replace(event, index=place))
        return shown
