"""What a supervisor asks of its children, be they actors or supervisors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol


class Ending(Enum):
    """How an incarnation is asked to end."""

    FINISH = "finish"  # for good: empty the queue, let spawned work end
    STEP_DOWN = "step down"  # by the actor's own wish: leave the queue, let spawned work end
    HALT = "halt"  # to be restarted: leave the queue, cancel spawned work


class Node(Protocol):
    """A place in the tree that can be run, ended and run again."""

    @property
    def name(self) -> str:
        """Its name among its siblings."""

    async def run(self, started: Callable[[], None]) -> None:
        """Run one incarnation to its end.

        Args:
            started: Called once it is up.

        Raises:
            Exception: It ended abnormally, or could not start.
        """

    def finish(self, ending: Ending, until: float | None) -> None:
        """Ask it to end; does not wait.

        Args:
            ending: How.
            until: The event loop's time by which it must have ended; None for its own grace.
        """

    def patience(self, until: float | None) -> float:
        """Return the event loop's time at which whoever asked it to end should cancel it."""

    def close(self) -> None:
        """End for good: refuse what is queued and what comes."""

    def snapshot(self) -> Mapping[str, object]:
        """Return its state as plain values."""
