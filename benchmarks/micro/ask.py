"""What an ask costs, beside the fastest one that can be written by hand over an anyio memory channel.

The hand-written ask has no supervision, no deadline, no trace and no cancellation rule: a channel of
envelopes with ``send_nowait`` and ``receive_nowait`` where that does not wait, and for each ask an
``asyncio.Future``, or on trio an ``anyio.Event``. An actor that decides in place is asked the same. All run
in one process, in interleaved rounds; the figures are medians, the ratio the median of the rounds' ratios.

    python -m benchmarks.micro.ask
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from callboard.kernel import Actor, Child, Context, Decider, Request, Supervisor, open_system

ROUNDS = 31
ASKS = 2_000
BAR = 2.0

Ask = Callable[[], Awaitable[int]]
Figures = tuple[float, float, float, float]


class Add(Request["Counter", int], frozen=True, kw_only=True):
    """Add to the count; answered with the sum."""

    amount: int


class Counter(Actor[Add]):
    """The smallest actor there is."""

    def __init__(self) -> None:
        self._total = 0

    async def receive(self, message: Add, context: Context[Counter]) -> None:
        """Handle one message."""
        self._total += message.amount
        context.reply(message, self._total)


class AddNow(Request["QuickCounter", int], frozen=True, kw_only=True):
    """Add to the count; answered with the sum."""

    amount: int


class QuickCounter(Decider[AddNow]):
    """The same, in place."""

    def __init__(self) -> None:
        self._total = 0

    def decide(self, message: AddNow, context: Context[QuickCounter]) -> None:
        """Handle one message."""
        self._total += message.amount
        context.reply(message, self._total)


class FutureEnvelope:
    """What the hand-written ask sends on asyncio."""

    __slots__ = ("amount", "future")

    def __init__(self, amount: int, future: asyncio.Future[int]) -> None:
        self.amount = amount
        self.future = future


class EventEnvelope:
    """What the hand-written ask sends on trio."""

    __slots__ = ("amount", "answer", "event")

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.event = anyio.Event()
        self.answer = 0


async def serve_futures(requests: MemoryObjectReceiveStream[FutureEnvelope]) -> None:
    """Answer by hand on asyncio."""
    total = 0
    while True:
        try:
            envelope = requests.receive_nowait()
        except anyio.WouldBlock:
            envelope = await requests.receive()
        total += envelope.amount
        if not envelope.future.done():
            envelope.future.set_result(total)


async def serve_events(requests: MemoryObjectReceiveStream[EventEnvelope]) -> None:
    """Answer by hand on trio."""
    total = 0
    while True:
        try:
            envelope = requests.receive_nowait()
        except anyio.WouldBlock:
            envelope = await requests.receive()
        total += envelope.amount
        envelope.answer = total
        envelope.event.set()


def future_ask(requests: MemoryObjectSendStream[FutureEnvelope]) -> Ask:
    """Ask by hand on asyncio."""
    loop = asyncio.get_running_loop()

    async def ask() -> int:
        envelope = FutureEnvelope(1, loop.create_future())
        try:
            requests.send_nowait(envelope)
        except anyio.WouldBlock:
            await requests.send(envelope)
        return await envelope.future

    return ask


def event_ask(requests: MemoryObjectSendStream[EventEnvelope]) -> Ask:
    """Ask by hand on trio."""

    async def ask() -> int:
        envelope = EventEnvelope(1)
        try:
            requests.send_nowait(envelope)
        except anyio.WouldBlock:
            await requests.send(envelope)
        await envelope.event.wait()
        return envelope.answer

    return ask


async def seconds_per_ask(ask: Ask) -> float:
    """Time one round of asks, one after the other, each at an idle actor."""
    begin = time.perf_counter()
    for _ in range(ASKS):
        await ask()
    return (time.perf_counter() - begin) / ASKS


async def measure(by_hand: Ask) -> Figures:
    """Interleave rounds of all three; return the medians in microseconds and the median ratio."""
    child = Child(name="counter", start=Counter)
    quick = Child(name="quick", start=QuickCounter)
    async with open_system(Supervisor(name="benchmark", children=(child, quick))) as system:
        ref, quick_ref = system.ref(child), system.ref(quick)

        def ours() -> Awaitable[int]:
            return ref.ask(Add(amount=1))

        def in_place() -> Awaitable[int]:
            return quick_ref.ask(AddNow(amount=1))

        asks = by_hand, ours, in_place
        rounds = [[await seconds_per_ask(ask) for ask in asks] for _ in range(ROUNDS)][1:]
    hand, kernel, placed = (statistics.median(side) * 1e6 for side in zip(*rounds, strict=True))
    return hand, kernel, placed, statistics.median(each[1] / each[0] for each in rounds)


async def on_asyncio() -> Figures:
    """Measure with futures."""
    async with anyio.create_task_group() as tasks:
        sender, receiver = anyio.create_memory_object_stream[FutureEnvelope](64)
        with sender, receiver:
            tasks.start_soon(serve_futures, receiver)
            result = await measure(future_ask(sender))
            tasks.cancel_scope.cancel()
    return result


async def on_trio() -> Figures:
    """Measure with events."""
    async with anyio.create_task_group() as tasks:
        sender, receiver = anyio.create_memory_object_stream[EventEnvelope](64)
        with sender, receiver:
            tasks.start_soon(serve_events, receiver)
            result = await measure(event_ask(sender))
            tasks.cancel_scope.cancel()
    return result


def main() -> int:
    """Print one line for each event loop; fail if a ratio is over the bar."""
    over = False
    for name, run, backend, options in (
        ("asyncio", on_asyncio, "asyncio", {}),
        ("uvloop", on_asyncio, "asyncio", {"use_uvloop": True}),
        ("trio", on_trio, "trio", {}),
    ):
        hand, kernel, placed, ratio = anyio.run(run, backend=backend, backend_options=options)
        over = over or ratio > BAR
        print(
            f"{name:8} by hand {hand:6.2f} us   ask {kernel:6.2f} us   ratio {ratio:.2f} (bar {BAR:.1f})"
            f"   in place {placed:6.2f} us"
        )
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
