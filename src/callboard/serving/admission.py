"""Places for work: so many requests at once, so many waiting in line, and the rest refused at once."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Protocol

import anyio

from callboard.errors import Draining, Overloaded


class Stoppable(Protocol):
    """What holds a place."""

    def stop(self, reason: Exception) -> None:
        """Cancel it, for this reason."""


class Admission:
    """Bounds what is served at once. First come, first served.

    Args:
        places: Requests in work at the same time.
        queue: Requests waiting for a place; one more is refused.
        patience_s: How long one may wait.

    Attributes:
        closed: Whether nothing more is admitted.
    """

    def __init__(self, places: int, queue: int, patience_s: float = math.inf) -> None:
        self.closed = False
        self._places = places
        self._queue = queue
        self._patience_s = patience_s
        self._holders: set[Stoppable] = set()
        self._line: OrderedDict[Stoppable, anyio.Event] = OrderedDict()

    @property
    def in_work(self) -> int:
        """Requests that hold a place or wait for one."""
        return len(self._holders) + len(self._line)

    def take(self, holder: Stoppable) -> bool:
        """Take a place if one is free: then `give_back` must follow. False where `wait` is needed.

        Raises:
            Draining: Nothing is admitted any more.
        """
        if self.closed:
            raise Draining("This server is shutting down.")
        if self._line or len(self._holders) >= self._places:
            return False
        self._holders.add(holder)
        return True

    async def wait(self, holder: Stoppable) -> None:
        """Wait in line for a place; `give_back` must follow where it returns.

        Raises:
            Overloaded: The line is as long as it may be, or it took too long.
        """
        if len(self._line) >= self._queue:
            raise Overloaded("This server is at capacity.")
        turn = self._line[holder] = anyio.Event()
        try:
            with anyio.move_on_after(self._patience_s):
                await turn.wait()
        except BaseException:
            # Cancelled in line, or just as the place was handed over.
            if self._line.pop(holder, None) is None:
                self.give_back(holder)
            raise
        if self._line.pop(holder, None) is not None:  # it is still in line
            raise Overloaded("This server is at capacity.")

    def give_back(self, holder: Stoppable) -> None:
        """Leave the place to the first in line."""
        self._holders.discard(holder)
        if self._line and len(self._holders) < self._places:
            first, turn = self._line.popitem(last=False)
            self._holders.add(first)
            turn.set()

    def close(self) -> None:
        """Admit nothing more; what is in work goes on."""
        self.closed = True

    def break_off(self) -> None:
        """Stop everything in work or in line, with `Draining`."""
        self.closed = True
        for holder in (*self._holders, *self._line):
            holder.stop(Draining("This server is shutting down; the answer was broken off."))
