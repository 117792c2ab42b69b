"""A bounded queue of envelopes with one reader.

It is not an anyio memory stream for one reason: a stream hands an item to a waiting reader before that reader
runs, and a reader cancelled in between takes the item with it. Here an envelope stays queued until the reader
takes it, so none is lost when an incarnation is cut short, and the next one finds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

from msgspec import Struct

from callboard.kernel.envelope import Envelope
from callboard.kernel.signal import Signal, Signals

STREAK = 64
"""After as many messages in a row, handled without a suspension, everybody else gets a turn."""

InPlace: TypeAlias = Callable[[object, bool], Any]
"""Handles a message in the sender's own step; the second argument says whether it is a request.

Returns:
    The answer, or a `Reply` where there is none yet or it is an error; None for a notice.
"""


class Overflow(Enum):
    """What a sender meets at a full mailbox."""

    WAIT = "wait"  # it suspends until there is room: for the interior
    REJECT = "reject"  # it gets MailboxFull: for the edge, where a client can be told to come again


class MailboxSpec(Struct, frozen=True):
    """How large an actor's mailbox is.

    Attributes:
        capacity: Messages it holds, at least 1; there is no unbounded one.
        overflow: What a sender meets when it is full.
    """

    capacity: int = 64
    overflow: Overflow = Overflow.WAIT

    def __post_init__(self) -> None:
        """Refuse a mailbox that holds nothing."""
        if self.capacity < 1:
            raise ValueError("a mailbox holds at least one message")


class Mailbox:
    """Envelopes waiting for their actor; FIFO for each sender.

    It belongs to the child's slot: incarnations come and go, the queue stays.

    Attributes:
        spec: Its size.
        closed: Whether the actor has ended for good.
        peak: The longest the queue has been.
        reader: What the parked reader waits for; None where it runs, or is about to.
        in_place: What handles a message without the reader. Set only while the reader is parked, so that
            nothing is queued, and not while it handles one.
        patience: How many more messages it handles before the reader must have had a turn.
    """

    __slots__ = (
        "_queue",
        "_room",
        "_senders",
        "_signals",
        "closed",
        "in_place",
        "patience",
        "peak",
        "reader",
        "spec",
    )

    def __init__(self, spec: MailboxSpec, signals: Signals[Any]) -> None:
        self.closed = False
        self.resize(spec)
        self.peak = 0
        self._signals = signals
        self._queue: deque[Envelope] = deque()
        self._senders: dict[Signal, Envelope] = {}  # in the order in which they came
        self.reader: Signal | None = None
        self.in_place: InPlace | None = None
        self.patience = 0

    def __len__(self) -> int:
        return len(self._queue)

    def resize(self, spec: MailboxSpec) -> None:
        """Take on the size that an incarnation states; what is queued stays."""
        self.spec = spec
        self._room = spec.capacity

    @property
    def waiting_senders(self) -> int:
        """How many senders wait for room."""
        return len(self._senders)

    def offer(self, envelope: Envelope) -> bool:
        """Queue ``envelope`` if there is room now. Returns whether there was."""
        queue = self._queue
        length = len(queue)
        if length >= self._room:
            return False
        queue.append(envelope)
        if length >= self.peak:
            self.peak = length + 1
        reader = self.reader
        if reader is not None:
            self.reader = self.in_place = None
            self._signals.set(reader)
        return True

    async def put(self, envelope: Envelope) -> bool:
        """Queue ``envelope``, waiting for room.

        A sender cancelled while it waits has sent nothing.

        Returns:
            False if the mailbox was closed instead.
        """
        if self.closed:
            return False
        if self.offer(envelope):
            return True
        signal = self._signals.new()
        self._senders[signal] = envelope
        try:
            await signal
        except BaseException as cancellation:
            if not self._signals.outlives(signal, cancellation):
                self._senders.pop(signal, None)
                raise
        # Whoever woke us took us out of the line; `close` leaves us in it.
        return self._senders.pop(signal, None) is None

    def take(self) -> Envelope | None:
        """Take the oldest envelope and give its place to the longest waiting sender; None if empty."""
        if not self._queue:
            return None
        envelope = self._queue.popleft()
        while self._senders and len(self._queue) < self._room:
            signal = next(iter(self._senders))
            waiting = self._senders.pop(signal)
            if self._signals.set(signal):
                self._queue.append(waiting)
        return envelope

    def park(self, in_place: InPlace | None = None) -> Signal:
        """Return what the reader must await now: until something is offered, or `wake` is called.

        Meanwhile senders may call ``in_place`` instead of queueing.
        """
        signal: Signal = self._signals.new()
        self.reader = signal
        self.in_place = in_place
        self.patience = STREAK
        return signal

    def wake(self) -> None:
        """Make the reader look again."""
        reader = self.reader
        if reader is not None:
            self.reader = self.in_place = None
            self._signals.set(reader)

    def close(self) -> tuple[Envelope, ...]:
        """Take nothing more, for good; wake the senders that wait for room.

        Returns:
            What lay in the queue. The senders' own envelopes are theirs to account for.
        """
        self.closed = True
        self._room = 0
        for signal in tuple(self._senders):
            self._signals.set(signal)
        left = tuple(self._queue)
        self._queue.clear()
        return left
