"""A one-shot wake-up from one task to one other, which is never half delivered.

Every ask waits on one and every idle actor on another, so this is the kernel's hottest object: on asyncio a
plain future, which costs a quarter of an event, and on trio its own event. A future that is subclassed or
wrapped is slower to await than the interpreter's own, so a signal is an opaque handle and what can be done to
it lives beside it.

The promise beyond an event's: both sides agree. If ``set`` returned True then the waiter goes on, even where
a cancellation arrives in the same instant; if the waiter has already been cancelled then ``set`` returns
False. An answer, and whatever was reserved for it, therefore never falls between two tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import anyio

Signal: TypeAlias = Awaitable[None]
S = TypeVar("S", bound=Signal)


class Signals(Protocol[S]):
    """What an event loop's signals are and can.

    Attributes:
        new: Makes one. It is set once by one task and awaited once by another.
    """

    new: Callable[[], S]

    def set(self, signal: S) -> bool:
        """Wake the waiter. Returns whether it will learn of it: False once the waiter was cancelled."""

    def outlives(self, signal: S, cancellation: BaseException) -> bool:
        """Settle the tie when awaiting was cut short; the waiter calls this before anything else.

        Returns:
            True if the signal was set: then the waiter goes on as if nothing had happened, and the
            cancellation comes again at its next checkpoint. False if not, and then `set` returns False from
            now on.
        """


class FutureSignals:
    """Signals on asyncio, uvloop included."""

    __slots__ = ("new",)

    def __init__(self) -> None:
        self.new: Callable[[], asyncio.Future[None]] = asyncio.get_running_loop().create_future

    def set(self, signal: asyncio.Future[None]) -> bool:
        """See `Signals.set`."""
        if signal.done():
            return not signal.cancelled()
        signal.set_result(None)
        return True

    def outlives(self, signal: asyncio.Future[None], cancellation: BaseException) -> bool:
        """See `Signals.outlives`."""
        task = asyncio.current_task()
        if signal.cancel() or signal.cancelled() or task is None:
            return False
        # Set first, cancelled before the waiter woke: only a cancellation from outside anyio does that, and
        # asyncio delivers it once. Ask for it again, with its own message and without counting it twice.
        task.uncancel()
        task.cancel(*cancellation.args)
        return True


class EventSignal:
    """An event that knows whether its waiter was cancelled."""

    __slots__ = ("event", "gone")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.gone = False

    def __await__(self) -> Generator[Any, None, None]:
        return self.event.wait().__await__()


class EventSignals:
    """Signals on trio, or on any other library that anyio speaks."""

    __slots__ = ("new",)

    def __init__(self) -> None:
        self.new: Callable[[], EventSignal] = EventSignal

    def set(self, signal: EventSignal) -> bool:
        """See `Signals.set`."""
        if signal.gone:
            return False
        signal.event.set()
        return True

    def outlives(self, signal: EventSignal, cancellation: BaseException) -> bool:
        """See `Signals.outlives`."""
        # Cancelled first, set before the waiter woke. The scope stays cancelled: its next checkpoint raises.
        if isinstance(cancellation, anyio.get_cancelled_exc_class()) and signal.event.is_set():
            return True
        signal.gone = True
        return False


def choose_signals() -> Signals[Any]:
    """Choose the signals of the running event loop, once."""
    return FutureSignals() if _on_asyncio() else EventSignals()


def choose_clock() -> Callable[[], float]:
    """Choose how to read the running event loop's time, once: `anyio.current_time` looks it up every time."""
    if _on_asyncio():
        return asyncio.get_running_loop().time
    read: Callable[[], float] = anyio.lowlevel.current_token().backend_class.current_time
    return read


def choose_soon(within_s: float) -> Callable[[Callable[[], None]], object]:
    """Choose how to have something called a little later; elsewhere than on asyncio it is called at once."""
    return partial(asyncio.get_running_loop().call_later, within_s) if _on_asyncio() else lambda call: call()


def _on_asyncio() -> bool:
    try:
        # Under trio as a guest of asyncio there is a running loop, but no current task.
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
