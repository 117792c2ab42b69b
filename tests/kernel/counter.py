"""A small actor with one request for each thing an actor can do, and a log that outlives its incarnations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import assert_never

import anyio

from callboard.errors import Refusal
from callboard.kernel import (
    Actor,
    Channel,
    Child,
    Context,
    MailboxSpec,
    Notice,
    Request,
    Restart,
    StreamRequest,
)


class Declined(Refusal):
    """The counter's own refusal."""


class Add(Request["Counter", int], frozen=True, kw_only=True):
    """Add and answer with the sum."""

    amount: int = 1


class Bump(Notice["Counter"], frozen=True, kw_only=True):
    """Add, silently."""

    amount: int = 1


class Decline(Request["Counter", int], frozen=True, kw_only=True):
    """Be refused."""


class Crash(Request["Counter", int], frozen=True, kw_only=True):
    """Crash the incarnation."""


class CrashLater(Notice["Counter"], frozen=True, kw_only=True):
    """Crash the incarnation, with nobody waiting."""


class Forget(Request["Counter", int], frozen=True, kw_only=True):
    """Be left unanswered."""


class Hold(Request["Counter", int], frozen=True, kw_only=True):
    """Keep ``receive`` until the gate opens."""


class Work(Request["Counter", int], frozen=True, kw_only=True):
    """Be answered by spawned work, once the gate is open; it raises ``error`` if there is one."""

    error: Exception | None = None


class Count(StreamRequest["Counter", int], frozen=True, kw_only=True):
    """Be sent 0, 1, 2...; then the error, if there is one; then the end."""

    upto: int
    error: Exception | None = None


class Leave(Notice["Counter"], frozen=True, kw_only=True):
    """Stop normally."""


class Desk:
    """What a test shares with its counters.

    Attributes:
        gate: Holds back `Hold` and `Work` until it is set.
        log: What counters did, in order, across incarnations.
        children: Those made here, by name.
    """

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.log: list[str] = []
        self.children: dict[str, Child[Counter]] = {}

    def child(
        self,
        name: str = "counter",
        *,
        restart: Restart = Restart.PERMANENT,
        grace: float = 5.0,
        mailbox: MailboxSpec | None = None,
        entering: Callable[[], None] = lambda: None,
    ) -> Child[Counter]:
        """Make a child; ``entering`` is called in its ``running`` and may raise."""

        class SizedCounter(Counter):
            pass

        SizedCounter.mailbox = mailbox or Counter.mailbox
        child: Child[Counter] = Child(
            name=name, start=lambda: SizedCounter(self, name, entering), restart=restart, grace=grace
        )
        self.children[name] = child
        return child


Message = Add | Bump | Decline | Crash | CrashLater | Forget | Hold | Work | Count | Leave


class Counter(Actor[Message]):
    """Counts, and does as it is told."""

    def __init__(self, desk: Desk, name: str, entering: Callable[[], None]) -> None:
        self.desk = desk
        self.name = name
        self.entering = entering
        self.total = 0

    @asynccontextmanager
    async def running(self, context: Context[Counter]) -> AsyncIterator[None]:
        self.entering()
        self.desk.log.append(f"{self.name} up")
        try:
            yield
        finally:
            self.desk.log.append(f"{self.name} down")

    async def receive(self, message: Message, context: Context[Counter]) -> None:
        match message:
            case Add(amount=amount):
                self.total += amount
                context.reply(message, self.total)
            case Bump(amount=amount):
                self.total += amount
            case Decline():
                raise Declined("no")
            case Crash() | CrashLater():
                raise ZeroDivisionError("crash")
            case Forget():
                pass
            case Hold():
                await self.desk.gate.wait()
                self.desk.log.append("held to the end")
                context.reply(message, self.total)
            case Work(error=error):
                context.reply_from(message, lambda: self._work(error))
            case Count():
                context.stream_from(message, lambda numbers: self._count(message, numbers))
            case Leave():
                context.stop()
            case _:
                assert_never(message)

    async def _work(self, error: Exception | None) -> int:
        try:
            await self.desk.gate.wait()
        except BaseException:
            self.desk.log.append("work cancelled")
            raise
        if error is not None:
            raise error
        return self.total

    async def _count(self, message: Count, numbers: Channel[int]) -> None:
        try:
            for number in range(message.upto):
                await numbers.send(number)
        except BaseException:
            self.desk.log.append("producer cancelled")
            raise
        if message.error is not None:
            raise message.error
