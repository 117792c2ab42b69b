"""Places for work: so many requests at once, so many waiting in line, and the rest refused at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CancelScope, CapacityLimiter, WouldBlock

from callboard.errors import Draining, Overloaded


class Admission:
    """Bounds what is served at once. FIFO.

    Args:
        places: Requests in work at the same time.
        queue: Requests waiting for a place; one more is refused.
    """

    def __init__(self, places: int, queue: int) -> None:
        self._limiter = CapacityLimiter(places)
        self._queue = queue
        self._scopes: set[CancelScope] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is admitted."""
        return self._closed

    @property
    def in_work(self) -> int:
        """Requests that hold a place or wait for one."""
        return len(self._scopes)

    def close(self) -> None:
        """Admit nothing more; what is in work goes on."""
        self._closed = True

    def break_off(self) -> None:
        """Stop everything in work: each block is left with `Draining`."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for as long as the block runs.

        Raises:
            Overloaded: The line is as long as it may be.
            Draining: Nothing is admitted any more, or the block was broken off.
        """
        if self._closed:
            raise Draining("This server is shutting down.")
        holder = object()
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await self._take(holder)
                try:
                    yield
                finally:
                    self._limiter.release_on_behalf_of(holder)
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise Draining("This server is shutting down; the answer was broken off.")

    async def _take(self, holder: object) -> None:
        try:
            self._limiter.acquire_on_behalf_of_nowait(holder)
        except WouldBlock:
            if self._limiter.statistics().tasks_waiting >= self._queue:
                raise Overloaded("This server is at capacity.") from None
            await self._limiter.acquire_on_behalf_of(holder)
