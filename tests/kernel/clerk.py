"""A Decider that does whatever it is handed, in an office that remembers every incarnation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias, TypeVar

import anyio

from callboard.errors import Refusal
from callboard.kernel import (
    Child,
    Context,
    DeadLetter,
    DeadLetterReason,
    Decider,
    LifecycleEvent,
    MailboxSpec,
    Notice,
    Request,
    Restart,
    Supervisor,
    System,
)

T = TypeVar("T")


class Declined(Refusal):
    """The clerk's own refusal."""


class Do(Request["Clerk", object], frozen=True, kw_only=True):
    """Run ``deed`` within ``decide``."""

    deed: Callable[[Do, Context[Clerk]], None]


class Note(Notice["Clerk"], frozen=True, kw_only=True):
    """Be written down, after ``deed``."""

    text: str
    deed: Callable[[Context[Clerk]], None] = lambda context: None


class Clerk(Decider["Do | Note"]):
    """Decides whatever it is handed."""

    def __init__(self, mailbox: MailboxSpec | None = None) -> None:
        self.mailbox = mailbox or MailboxSpec()  # type: ignore[misc] # one class for every size
        self.notes: list[str] = []

    def decide(self, message: Do | Note, context: Context[Clerk]) -> None:
        match message:
            case Do(deed=deed):
                deed(message, context)
            case Note(text=text, deed=act):
                act(context)
                self.notes.append(text)


Deed: TypeAlias = Callable[[Do, Context[Clerk]], None]


class Office:
    """A clerk in a tree of its own, every incarnation it has had, and what was observed."""

    def __init__(self, *, mailbox: MailboxSpec | None = None, restart: Restart = Restart.PERMANENT) -> None:
        self.clerks: list[Clerk] = []
        self.events: list[LifecycleEvent] = []
        self.mailbox = mailbox
        self.child: Child[Clerk] = Child(name="clerk", start=self._start, restart=restart)
        self.tree = Supervisor(name="root", children=(self.child,))

    def _start(self) -> Clerk:
        self.clerks.append(Clerk(self.mailbox))
        return self.clerks[-1]

    def named(self, kind: type[LifecycleEvent]) -> list[LifecycleEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def letters(self) -> list[DeadLetterReason]:
        return [event.reason for event in self.events if isinstance(event, DeadLetter)]


def answer(message: Do, context: Context[Clerk]) -> None:
    context.reply(message, "answered")


def crash(message: Do, context: Context[Clerk]) -> None:
    raise ZeroDivisionError("crash")


def in_one_step(call: Coroutine[Any, Any, T]) -> T:
    """Run a call that must not suspend."""
    try:
        call.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    call.close()
    raise AssertionError("it suspended")


def books(system: System) -> Mapping[str, object]:
    children = system.snapshot()["children"]
    assert isinstance(children, tuple)
    clerk = children[0]
    assert isinstance(clerk, dict)
    return clerk


async def idle() -> None:
    """Wait until the actors' own tasks are parked."""
    await anyio.wait_all_tasks_blocked()


class Slow:
    """Work to hand on, with what became of it."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.log: list[object] = []

    async def work(self, context: Context[Clerk]) -> object:
        self.log.append(context.trace.request_id)
        try:
            await self.gate.wait()
        except BaseException:
            self.log.append("cancelled")
            raise
        return "from work"

    def hand_on(self, message: Do, context: Context[Clerk]) -> None:
        context.reply_from(message, lambda: self.work(context))
