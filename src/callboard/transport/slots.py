"""Who may use which connection to one origin: the pool's bookkeeping, synchronous and without IO.

A *slot* is the right to have one connection open. Slots are bounded; whoever finds none waits in line.
Because nothing here awaits, no cancellation can find the books half-written.

Invariant: while anybody waits, every slot is taken and no connection is idle. A slot that becomes free is
handed to the first in line in the same step, so nobody overtakes.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio

C = TypeVar("C")


class Waiter(Generic[C]):
    """One caller in line.

    Attributes:
        ready: Set when a slot was handed over, or when the line was closed.
        granted: Whether a slot was handed over.
        connection: The connection that came with the slot; None means: open one.
    """

    __slots__ = ("connection", "granted", "ready")

    def __init__(self) -> None:
        self.ready = anyio.Event()
        self.granted = False
        self.connection: C | None = None

    def grant(self, connection: C | None) -> None:
        """Hand a slot over."""
        self.granted = True
        self.connection = connection
        self.ready.set()


class Slots(Generic[C]):
    """The slots of one origin.

    Attributes:
        taken: Slots in use, those of idle connections included.
        idle: Connections nobody uses, the longest idle first.
        waiters: Callers in line, first come first.
    """

    __slots__ = ("_capacity", "idle", "taken", "waiters")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.taken = 0
        self.idle: deque[C] = deque()
        self.waiters: deque[Waiter[C]] = deque()

    def take_idle(self) -> C | None:
        """The most recently used idle connection, with its slot."""
        return self.idle.pop() if self.idle else None

    def take_free(self) -> bool:
        """Take a slot without a connection, if one is free."""
        if self.taken >= self._capacity:
            return False
        self.taken += 1
        return True

    def join(self) -> Waiter[C]:
        """Stand in line; ``leave`` must follow unless the waiter was granted and uses its slot."""
        waiter: Waiter[C] = Waiter()
        self.waiters.append(waiter)
        return waiter

    def leave(self, waiter: Waiter[C]) -> None:
        """Leave the line, or pass on the slot that arrived too late to be used."""
        if not waiter.granted:
            self.waiters.remove(waiter)
        elif waiter.connection is None:
            self.vacate()
        else:
            self.give_back(waiter.connection)

    def give_back(self, connection: C) -> None:
        """A call is over and its connection can carry another."""
        if self.waiters:
            self.waiters.popleft().grant(connection)
        else:
            self.idle.append(connection)

    def vacate(self) -> None:
        """A connection is closed or was never made; its slot is free."""
        if self.waiters:
            self.waiters.popleft().grant(None)
        else:
            self.taken -= 1
