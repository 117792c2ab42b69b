"""The asker's end of a stream.

A class and not an async generator: a generator must not yield inside a cancel scope, and its clean-up would
run whenever the garbage collector came by.
"""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from callboard.kernel.envelope import Envelope
from callboard.kernel.reply import StreamReply
from callboard.kernel.slot import Slot
from callboard.kernel.trace import current_trace

E = TypeVar("E")


class EventStream(Generic[E]):
    """Asks on entering, iterates over the events, and on leaving cancels the producer if it still runs.

    Point to point: one task enters, iterates and leaves. With ``buffer=0`` the producer waits for the
    consumer at every event, which is what carries backpressure from one socket to the other.
    """

    __slots__ = ("_buffer", "_events", "_message", "_reply", "_slot")

    def __init__(self, slot: Slot, message: object, buffer: int) -> None:
        self._slot = slot
        self._message = message
        self._buffer = buffer
        self._events: MemoryObjectReceiveStream[E]
        self._reply: StreamReply[E]

    async def __aenter__(self) -> Self:
        producer, self._events = anyio.create_memory_object_stream[E](self._buffer)
        self._reply = reply = StreamReply(self._slot.environment.signals, producer)
        deadline = self._slot.environment.deadline()
        envelope = Envelope(self._message, reply, current_trace(), deadline)
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
            Exception: The producer failed, or the actor refused; after the last event that was delivered.
        """
        try:
            try:
                return self._events.receive_nowait()
            except anyio.WouldBlock:
                return await self._events.receive()
        except anyio.EndOfStream:
            # A producer may close its end before it fails: the reply, not the channel, has the last word.
            await self._reply.wait()
            raise StopAsyncIteration from None

    def ready(self) -> list[E]:
        """The events that have come and were not read: to be handled together, without waiting for more."""
        found: list[E] = []
        try:
            while True:
                found.append(self._events.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return found

    def _leave(self) -> None:
        self._reply.abandon()
        self._events.close()
