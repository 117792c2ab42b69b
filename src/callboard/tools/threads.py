"""Worker threads for functions that may never return.

A thread cannot be stopped, only given up. Those that were given up and still run are counted: a function that
hangs each time would otherwise cost one more thread with every call, without end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from callboard.errors import ToolError

T = TypeVar("T")

AT_ONCE = 64
GIVEN_UP = 32


class _Work:
    """One call in a thread, and how far it is."""

    def __init__(self) -> None:
        self.begun = False
        self.done = False


class Threads:
    """Runs functions in threads, a bounded number at a time.

    Args:
        at_once: Calls that are waited for; further ones wait for a place.
        given_up: Calls nobody waits for any more that may still run; then new ones are refused.
    """

    def __init__(self, *, at_once: int = AT_ONCE, given_up: int = GIVEN_UP) -> None:
        self._places = CapacityLimiter(at_once)
        self._most_given_up = given_up
        self._given_up: set[_Work] = set()

    async def run(self, call: Callable[[], T], *, on_given_up: Callable[[], None]) -> T:
        """What ``call`` returns, or raises. Cancelled, it goes on in its thread, and ``on_given_up`` is told.

        Raises:
            ToolError: Too many calls were given up and have not ended; this one was not run.
        """
        if len(self._given_up) >= self._most_given_up:
            raise ToolError(
                f"Not run: {len(self._given_up)} earlier calls did not end in time and are still running. "
                "Try again later."
            )
        work = _Work()

        def run() -> T:
            work.begun = True
            try:
                return call()
            finally:
                # First said, then removed, and below the other way round: whoever is last removes it.
                work.done = True
                self._given_up.discard(work)

        try:
            return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._places)
        except anyio.get_cancelled_exc_class():
            if work.begun:
                self._given_up.add(work)
                if work.done:
                    self._given_up.discard(work)
                else:
                    on_given_up()
            raise
