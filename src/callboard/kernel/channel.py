"""The events of one stream on their way: a bounded queue between what an actor has spawned and its asker.

It is not an anyio memory stream for its price: a stream is made for each request, and a reader that has to
wait suspends twice there. And the kernel's signals make the hand-over exact (`callboard.kernel.signal`): an
event is queued or it was not sent, whoever is cancelled in that instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from anyio import BrokenResourceError, ClosedResourceError, WouldBlock
from anyio.lowlevel import checkpoint_if_cancelled

from callboard.kernel.signal import Signal, Signals

E = TypeVar("E")


class Channel(Generic[E]):
    """From any number of tasks to one.

    Attributes:
        closed: Whether no more can be sent; what was sent can still be read.
        left: Whether nobody reads any more.
    """

    __slots__ = ("_events", "_reader", "_room", "_senders", "_signals", "closed", "left")

    def __init__(self, signals: Signals[Any], room: int) -> None:
        """Make one.

        Args:
            signals: The event loop's.
            room: Events that may be sent ahead; with 0, a sender waits until its event is read.
        """
        self.closed = self.left = False
        self._signals = signals
        self._room = room
        self._events: deque[E] = deque()
        self._senders: dict[Signal, E] = {}  # in the order in which they came
        self._reader: Signal | None = None

    def send_nowait(self, event: E) -> None:
        """Send without suspending.

        Raises:
            WouldBlock: The reader is behind by as much as it may be.
            BrokenResourceError: The stream is over.
        """
        if not self.send_some((event,)):
            raise WouldBlock

    def send_some(self, events: Sequence[E]) -> int:
        """Send as many of ``events`` as can be without suspending; returns how many.

        Raises:
            BrokenResourceError: The stream is over.
        """
        if self.closed:
            raise BrokenResourceError
        reader = self._reader
        room = self._room - len(self._events)
        if room <= 0:
            room = 1 if reader is not None and not self._events else 0
        sent = events if len(events) <= room else events[:room]
        if sent:
            self._events.extend(sent)
            if reader is not None:
                self._reader = None
                self._signals.set(reader)
        return len(sent)

    async def send(self, event: E) -> None:
        """Send, waiting while the reader is behind. A sender cancelled while it waits has sent nothing.

        Raises:
            BrokenResourceError: The stream is over.
        """
        await checkpoint_if_cancelled()
        try:
            self.send_nowait(event)
        except WouldBlock:
            signal = self._signals.new()
            self._senders[signal] = event
            try:
                await signal
            except BaseException as cancellation:
                if not self._signals.outlives(signal, cancellation):
                    self._senders.pop(signal, None)
                    raise
            # Who reads it takes it out; closing leaves it in.
            if self._senders.pop(signal, None) is not None:
                raise BrokenResourceError from None

    def take(self, most: int) -> list[E]:
        """At most so many events that have come; none where none have."""
        events = self._events
        if most >= len(events):
            found = list(events)
            events.clear()
        else:
            found = [events.popleft() for _ in range(most)]
        if self._senders:
            if not found:
                found = self._of_senders(1)
            events.extend(self._of_senders(self._room - len(events)))
        return found

    async def wait(self) -> bool:
        """Wait until there may be something to take. False where nothing will come any more.

        Raises:
            ClosedResourceError: The reader has left.
        """
        if self.left:
            raise ClosedResourceError
        if self.closed:
            return False
        signal = self._reader = self._signals.new()
        try:
            await signal  # what comes stays in the queue: there is no tie to settle
        finally:
            self._reader = None
        return True

    def close(self) -> None:
        """Nothing more is sent; whoever waits for either side is woken. Idempotent."""
        self.closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            self._signals.set(reader)
        for signal in tuple(self._senders):
            self._signals.set(signal)

    def leave(self) -> None:
        """Nobody reads any more."""
        self.left = True
        self._events.clear()
        self.close()

    def _of_senders(self, count: int) -> list[E]:
        """The events of the first ``count`` who wait, who go on."""
        found: list[E] = []
        while self._senders and len(found) < count and not self.closed:
            signal = next(iter(self._senders))
            event = self._senders.pop(signal)
            if self._signals.set(signal):
                found.append(event)
        return found
