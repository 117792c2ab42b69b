"""The asker's end of a stream.

A class and not an async generator: a generator must not yield inside a cancel scope, and its clean-up would
run whenever the garbage collector came by.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Generic, Self, TypeVar

from callboard.kernel.channel import Channel
from callboard.kernel.envelope import Envelope
from callboard.kernel.reply import StreamReply
from callboard.kernel.slot import Slot
from callboard.kernel.trace import current_trace

E = TypeVar("E")
ALL = sys.maxsize


class EventStream(Generic[E]):
    """Asks on entering, iterates over the events, and on leaving cancels the producer if it still runs.

    Point to point: one task enters, iterates and leaves. With ``buffer=0`` the producer waits for the
    consumer at every event, which is what carries backpressure from one socket to the other.
    """

    __slots__ = ("_buffer", "_channel", "_message", "_reply", "_slot")

    def __init__(self, slot: Slot, message: object, buffer: int) -> None:
        self._slot = slot
        self._message = message
        self._buffer = buffer
        self._channel: Channel[E]
        self._reply: StreamReply[E]

    async def __aenter__(self) -> Self:
        environment = self._slot.environment
        self._channel = Channel(environment.signals, self._buffer)
        self._reply = reply = StreamReply(environment.signals, self._channel)
        envelope = Envelope(self._message, reply, current_trace(), environment.deadline())
        try:
            if not self._slot.post(envelope):
                await self._slot.wait_for_place(envelope)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Return the next event.

        Raises:
            StopAsyncIteration: The producer returned.
            Exception: As `some`.
        """
        found = self._channel.take(1) or await self._come(1)
        if not found:
            raise StopAsyncIteration
        return found[0]

    async def some(self) -> list[E]:
        """Return what has come together, waiting for the first of it; nothing once the producer has returned.

        Raises:
            Exception: The producer failed, or the actor refused; after the last event that was delivered.
        """
        return self._channel.take(ALL) or await self._come(ALL)

    async def _come(self, most: int) -> list[E]:
        channel = self._channel
        while await channel.wait():
            if found := channel.take(most):
                return found
        # A producer may close its end before it fails: the reply, not the channel, has the last word.
        await self._reply.wait()
        return []

    def _leave(self) -> None:
        self._reply.abandon()
        self._channel.leave()
