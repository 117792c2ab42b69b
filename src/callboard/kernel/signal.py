"""A one-shot wake-up from one task to one other, which is never half delivered.

Every ask waits on one and every idle actor on another, so this is the kernel's hottest object. An asyncio
future costs a quarter of an event there; trio's own event is the cheapest thing it has.

The promise beyond an event's: both sides agree. If ``set`` returned True then the waiter goes on,
even where a cancellation arrives in the same instant; if the waiter has already been cancelled then ``set``
returns False. An answer, and whatever was reserved for it, therefore never falls between two tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Protocol

import anyio


class Signal(Awaitable[None], Protocol):
    """Set once by one task, awaited once by another."""

    def set(self) -> bool:
        """Wake the waiter. Returns whether it will learn of it: False once the waiter was cancelled."""

    def outlives(self, cancellation: BaseException) -> bool:
        """Settle the tie when awaiting was cut short; the waiter calls this before anything else.

        Returns:
            True if the signal was set: then the waiter goes on as if nothing had happened, and the
            cancellation comes again at its next checkpoint. False if not, and then `set` returns False from
            now on.
        """


class FutureSignal(asyncio.Future[None]):
    """A signal on asyncio, uvloop included: the future itself, to save an object and a call."""

    __slots__ = ()

    def set(self) -> bool:
        """See `Signal.set`."""
        if self.done():
            return not self.cancelled()
        self.set_result(None)
        return True

    def outlives(self, cancellation: BaseException) -> bool:
        """See `Signal.outlives`."""
        task = asyncio.current_task()
        if self.cancel() or self.cancelled() or task is None:
            return False
        # Set first, cancelled before the waiter woke: only a cancellation from outside anyio does that, and
        # asyncio delivers it once. Ask for it again, with its own message and without counting it twice.
        task.uncancel()
        task.cancel(*cancellation.args)
        return True


class EventSignal:
    """A signal on trio, or on any other library that anyio speaks."""

    __slots__ = ("_event", "_gone")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._gone = False

    def __await__(self) -> Generator[Any, None, None]:
        return self._event.wait().__await__()

    def set(self) -> bool:
        """See `Signal.set`."""
        if self._gone:
            return False
        self._event.set()
        return True

    def outlives(self, cancellation: BaseException) -> bool:
        """See `Signal.outlives`."""
        # Cancelled first, set before the waiter woke. The scope stays cancelled: its next checkpoint raises.
        if isinstance(cancellation, anyio.get_cancelled_exc_class()) and self._event.is_set():
            return True
        self._gone = True
        return False


def signal_factory() -> Callable[[], Signal]:
    """Choose the signal for the running event loop, once."""
    try:
        # Under trio as a guest of asyncio there is a running loop, but no current task.
        on_asyncio = asyncio.current_task() is not None
    except RuntimeError:
        on_asyncio = False
    return partial(FutureSignal, loop=asyncio.get_running_loop()) if on_asyncio else EventSignal
