"""What a tell, an event of a stream and a place in a mailbox cost, in microseconds of CPU time.

Tells and streams stand beside the same written by hand over an anyio memory channel, without supervision,
deadlines, traces and cancellation rules. An actor that decides in place is told the same. All run in one
process, in interleaved rounds; figures are medians.

    python -m benchmarks.micro.messages
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from callboard.kernel import (
    Actor,
    ActorRef,
    Channel,
    Child,
    Context,
    Decider,
    MailboxSpec,
    Notice,
    Request,
    StreamRequest,
    Supervisor,
    open_system,
)
from callboard.kernel.envelope import Envelope
from callboard.kernel.mailbox import Mailbox
from callboard.kernel.signal import choose_signals
from callboard.kernel.trace import UNTRACED

ROUNDS = 21
COUNT = 5_000
CAPACITY = 64
BUFFERS = (0, 16)

Work: TypeAlias = Callable[[], Awaitable[None]]


class Note(Notice["Listener"], frozen=True, kw_only=True):
    """Told to be counted."""


class Heard(Request["Listener", int], frozen=True, kw_only=True):
    """How many notes came until now."""


class Count(StreamRequest["Listener", int], frozen=True, kw_only=True):
    """Numbers below ``upto``."""

    upto: int


class Listener(Actor[Note | Heard | Count]):
    """Counts notes, and counts aloud."""

    mailbox = MailboxSpec(capacity=CAPACITY)

    def __init__(self) -> None:
        self._heard = 0

    async def receive(self, message: Note | Heard | Count, context: Context[Listener]) -> None:
        """Handle one message."""
        match message:
            case Note():
                self._heard += 1
            case Heard():
                context.reply(message, self._heard)
            case Count():
                context.stream_from(message, lambda out: count_aloud(out, message.upto))


class NoteNow(Notice["QuickListener"], frozen=True, kw_only=True):
    """Told to be counted."""


class QuickListener(Decider[NoteNow]):
    """The same, in place."""

    mailbox = MailboxSpec(capacity=CAPACITY)

    def __init__(self) -> None:
        self._heard = 0

    def decide(self, message: NoteNow, context: Context[QuickListener]) -> None:
        """Handle one message."""
        self._heard += 1


async def count_aloud(out: Channel[int] | MemoryObjectSendStream[int], upto: int) -> None:
    """Send every number below ``upto``."""
    for number in range(upto):
        try:
            out.send_nowait(number)
        except anyio.WouldBlock:
            await out.send(number)


async def by_hand(buffer: int) -> None:
    """Numbers from one task to another: what a tell and a stream are without a kernel."""
    sender, receiver = anyio.create_memory_object_stream[int](buffer)
    async with anyio.create_task_group() as tasks, receiver:
        tasks.start_soon(_send, sender)
        with suppress(anyio.EndOfStream):
            while True:
                try:
                    receiver.receive_nowait()
                except anyio.WouldBlock:
                    await receiver.receive()


async def _send(sender: MemoryObjectSendStream[int]) -> None:
    with sender:
        await count_aloud(sender, COUNT)


def told(ref: ActorRef[Listener]) -> Work:
    """Notes, and then the question that all before it are answered by."""

    async def work() -> None:
        for _ in range(COUNT):
            await ref.tell(Note())
        await ref.ask(Heard())

    return work


def told_now(ref: ActorRef[QuickListener]) -> Work:
    """Notes that are handled when they are told; `ActorRef.tell` would let others have a turn after 64."""

    async def work() -> None:
        for _ in range(COUNT):
            ref.tell_now(NoteNow())

    return work


def streamed(ref: ActorRef[Listener], buffer: int) -> Work:
    """Numbers out of an actor."""

    async def work() -> None:
        async with ref.stream(Count(upto=COUNT), buffer=buffer) as numbers:
            async for _ in numbers:
                pass

    return work


async def queued() -> None:
    """Envelopes through a mailbox that nobody waits for."""
    mailbox = Mailbox(MailboxSpec(capacity=CAPACITY), choose_signals())
    envelope = Envelope(Note(), None, UNTRACED, math.inf)
    for _ in range(COUNT // CAPACITY):
        for _ in range(CAPACITY):
            mailbox.offer(envelope)
        while mailbox.take() is not None:
            pass


async def microseconds(work: Work) -> float:
    """CPU time of one of ``COUNT`` operations."""
    begin = time.process_time()
    await work()
    return (time.process_time() - begin) / COUNT * 1e6


async def measure() -> dict[str, float]:
    """The medians."""
    child = Child(name="listener", start=Listener)
    quick = Child(name="quick", start=QuickListener)
    async with open_system(Supervisor(name="benchmark", children=(child, quick))) as system:
        ref = system.ref(child)
        works: dict[str, Work] = {
            f"by hand, channel({CAPACITY})": partial(by_hand, CAPACITY),
            "tell": told(ref),
            "tell_now, in place": told_now(system.ref(quick)),
            "mailbox: offer and take": queued,
        }
        for buffer in BUFFERS:
            works[f"by hand, channel({buffer})"] = partial(by_hand, buffer)
            works[f"stream, buffer {buffer}"] = streamed(ref, buffer)
        rounds = [[await microseconds(work) for work in works.values()] for _ in range(ROUNDS)][1:]
    medians = (statistics.median(side) for side in zip(*rounds, strict=True))
    return dict(zip(works, medians, strict=True))


def main() -> None:
    """Print one line for each operation, one column for each event loop."""
    loops = {
        "asyncio": ("asyncio", {}),
        "uvloop": ("asyncio", {"use_uvloop": True}),
        "trio": ("trio", {}),
    }
    found = {
        name: anyio.run(measure, backend=backend, backend_options=options)
        for name, (backend, options) in loops.items()
    }
    print(f"{'us for each':28}" + "".join(f"{name:>9}" for name in found))
    for operation in found["asyncio"]:
        print(f"{operation:28}" + "".join(f"{each[operation]:9.2f}" for each in found.values()))


if __name__ == "__main__":
    main()
