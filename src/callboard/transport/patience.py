"""How long a connection waits for what: one timer for all waits, and none at all for a busy connection."""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop
from asyncio.events import TimerHandle
from collections.abc import Callable


class Patience:
    """Waits for one thing at a time.

    What for and until when are plain attributes: to wait for something else costs two assignments, because
    the timer looks at them only when it fires, and is armed anew then.
    """

    __slots__ = ("_deadline", "_fires_at", "_loop", "_overdue", "_timer")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._deadline = math.inf
        self._overdue: Callable[[], None]
        self._timer: TimerHandle | None = None
        self._fires_at = math.inf

    def expect(self, within_s: float, overdue: Callable[[], None]) -> None:
        """Wait for something else from now on; ``overdue`` is called when it did not come in time."""
        self._overdue = overdue
        self._deadline = self._loop.time() + within_s
        if self._deadline < self._fires_at:
            self._arm()

    def expect_until(self, deadline: float, overdue: Callable[[], None]) -> None:
        """The same, until a moment on the event loop's clock."""
        self._overdue = overdue
        self._deadline = deadline
        if self._deadline < self._fires_at:
            self._arm()

    def content(self) -> None:
        """Wait for nothing."""
        self._deadline = math.inf

    def end(self) -> None:
        """Wait for nothing, and give up the timer."""
        self._deadline = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._fires_at = math.inf
        if self._loop.time() >= self._deadline:
            self._deadline = math.inf
            self._overdue()
        elif self._deadline < math.inf:
            self._arm()
