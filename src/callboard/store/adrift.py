"""Live responses that nobody in this process works on any more, though it lives.

What a dead process left is found by its owner's absence. A living one lets go of a response when the store
does not take its end, when the actor that worked on it crashes, or when whoever ordered it leaves between
storing it and having it begun: then whoever lets go says so here, and the Caretaker takes it up.
"""

from __future__ import annotations

from collections.abc import Iterable


class Adrift:
    """See the module's docstring. To say it of one that has ended, or was never stored, does no harm."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._times: dict[str, int] = {}

    def let_go(self, response_id: str) -> None:
        """Nobody works on it from now on."""
        if response_id not in self._waiting:
            self._waiting[response_id] = None
            self._times[response_id] = self.times(response_id) + 1

    def waiting(self) -> list[str]:
        """Those that nobody works on."""
        return list(self._waiting)

    def times(self, response_id: str) -> int:
        """How often it was let go."""
        return self._times.get(response_id, 0)

    def taken_up(self, response_id: str) -> None:
        """Somebody works on it."""
        self._waiting.pop(response_id, None)

    def forget(self, response_ids: Iterable[str]) -> None:
        """They have ended, or there are none of these names."""
        for response_id in response_ids:
            self._waiting.pop(response_id, None)
            self._times.pop(response_id, None)
