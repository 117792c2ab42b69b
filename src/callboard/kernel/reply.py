"""Where an answer goes: a slot that is filled at most once, by whoever comes first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio

from callboard.kernel.channel import Channel
from callboard.kernel.signal import Signal, Signals

R = TypeVar("R")


class Reply(Generic[R]):
    """One asker's slot.

    The asker waits on it or abandons it; the actor and its spawned work fill it. Every change is synchronous.

    Attributes:
        open: Whether an answer is still wanted: there is none yet, and the asker waits.
        gone: Whether the asker left before there was an answer.
        signal: Set once the reply is filled; what the asker awaits.
        cancel_work: Cancels the spawned work that is charged with the answer; None where there is none.
    """

    __slots__ = ("_error", "_signals", "_value", "cancel_work", "gone", "open", "signal")

    def __init__(self, signals: Signals[Any]) -> None:
        self.open = True
        self.gone = False
        self.signal: Signal = signals.new()
        self._signals = signals
        self._value: R
        self._error: Exception | None = None
        self.cancel_work: Callable[[], None] | None = None

    def succeed(self, value: R) -> bool:
        """Answer with ``value``. Returns whether the asker will see it."""
        if not self.open:
            return False
        self.open = False
        if self._signals.set(self.signal):
            self._value = value
            return True
        self.gone = True
        return False

    def fail(self, error: Exception) -> bool:
        """Answer with ``error``, which is raised in the asker. Returns whether the asker will see it."""
        if not self.open:
            return False
        self.open = False
        self._error = error
        self.gone = not self._signals.set(self.signal)
        if self.cancel_work is not None:
            self.cancel_work()
        return not self.gone

    def abandon(self) -> None:
        """Stop waiting: a queued envelope will be skipped, work spawned for it is cancelled."""
        if self.open:
            self.open = False
            self.gone = True
            if self.cancel_work is not None:
                self.cancel_work()

    def outlives(self, cancellation: BaseException) -> bool:
        """Settle what follows when waiting was cut short; abandons the reply unless its value was in time.

        A value that came in the same instant may stand for something reserved: it must not be lost. An error
        gives way: above all the news that time is up, to an asker who just found out itself.
        """
        if self._error is None and self._signals.outlives(self.signal, cancellation):
            return True
        self.abandon()
        return False

    def result(self) -> R:
        """Return the value the actor answered with, or raise the error; once, when the signal is set."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # the error holds this frame, and through it us
        return self._value

    async def wait(self) -> R:
        """Suspend until answered.

        Returns:
            The value the actor answered with.

        Raises:
            Exception: Whatever the actor answered with instead.
        """
        try:
            await self.signal
        except BaseException as cancellation:
            if not self.outlives(cancellation):
                raise
        return self.result()


class LastingReply(Reply[R]):
    """A reply to an asker who does not leave: a cancellation waits until there is an answer.

    That is what a shielded scope around `Reply.wait` does, but a scope is entered only where a cancellation
    has come: it costs three times what the kernel's own part of an ask does.
    """

    __slots__ = ()

    def succeed(self, value: R) -> bool:
        """Answer with ``value``, which the asker will see."""
        if not self.open:
            return False
        self.open = False
        self._value = value
        self._signals.set(self.signal)
        return True

    def fail(self, error: Exception) -> bool:
        """Answer with ``error``, which is raised in the asker."""
        if not self.open:
            return False
        super().fail(error)
        self.gone = False
        return True

    async def wait(self) -> R:
        """As `Reply.wait`, but until there is an answer, though the surrounding scope be cancelled."""
        try:
            await self.signal
        except anyio.get_cancelled_exc_class() as cancellation:
            by_scope = anyio.current_effective_deadline() == -math.inf
            if not by_scope and not self.outlives(cancellation):
                raise  # what cancels a task from outside anyio is stopped by no shield
            if self.open:
                self.signal = self._signals.new()
                with anyio.CancelScope(shield=True):
                    return await super().wait()
        return self.result()


class StreamReply(Reply[None], Generic[R]):
    """A reply whose value is the end of a stream: filling or abandoning it closes the producer's end.

    Attributes:
        events: Where the producer sends.
    """

    __slots__ = ("events",)

    def __init__(self, signals: Signals[Any], events: Channel[R]) -> None:
        super().__init__(signals)
        self._value = None  # what there is once an error has been raised: nothing more
        self.events = events

    def succeed(self, value: None) -> bool:
        """End the stream."""
        seen = super().succeed(value)
        self.events.close()
        return seen

    def fail(self, error: Exception) -> bool:
        """End the stream with ``error``, raised after the last item that was delivered."""
        seen = super().fail(error)
        self.events.close()
        return seen

    def abandon(self) -> None:
        """Close the stream for both sides."""
        super().abandon()
        self.events.close()
