"""callboard.kernel.context: what an actor may do, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import pytest

from callboard.errors import ActorFailed, ActorStopped
from callboard.kernel import (
    Actor,
    ActorRef,
    Child,
    Context,
    LifecycleEvent,
    Notice,
    Request,
    Restart,
    Stopped,
    Supervisor,
    open_system,
)
from tests.kernel.counter import Add, Counter, CrashLater, Desk, Leave

pytestmark = pytest.mark.anyio


class Do(Request["Hand", object], frozen=True, kw_only=True):
    """Run ``deed`` within ``receive``."""

    deed: Callable[[Do, Context[Hand]], None]


class Note(Notice["Hand"], frozen=True, kw_only=True):
    """Be written down."""

    text: str


class Open(Request["Hand", ActorRef[Counter]], frozen=True, kw_only=True):
    """Spawn a session child."""

    child: Child[Counter]


class Hand(Actor["Do | Note | Open"]):
    """Does whatever it is handed."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    @asynccontextmanager
    async def running(self, context: Context[Hand]) -> AsyncIterator[None]:
        context.tell_later(Note(text="first"), after=0)
        yield
        self.notes.append("down")

    async def receive(self, message: Do | Note | Open, context: Context[Hand]) -> None:
        match message:
            case Do(deed=deed):
                deed(message, context)
            case Note(text=text):
                self.notes.append(text)
            case Open(child=child):
                context.reply_from(message, lambda: context.spawn(child))


Deed: TypeAlias = Callable[[Do, Context[Hand]], None]


async def do(deed: Deed, notes: list[str] | None = None) -> object:
    hand = Child(name="hand", start=lambda: Hand([] if notes is None else notes))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            return await system.ref(hand).ask(Do(deed=deed))


async def test_a_reply_says_that_it_was_seen() -> None:
    seen: list[bool] = []

    assert await do(lambda message, context: seen.append(context.reply(message, "yes"))) == "yes"
    assert seen == [True]


async def test_answering_twice_is_a_bug() -> None:
    def twice(message: Do, context: Context[Hand]) -> None:
        context.reply(message, 1)
        with pytest.raises(RuntimeError, match="answered already"):
            context.reply(message, 2)

    assert await do(twice) == 1


async def test_answering_what_was_handed_on_is_a_bug() -> None:
    async def work() -> object:
        return "from work"

    def both(message: Do, context: Context[Hand]) -> None:
        context.reply_from(message, work)
        with pytest.raises(RuntimeError, match="answered already"):
            context.reply(message, "now")

    assert await do(both) == "from work"


async def test_answering_another_request_is_a_bug() -> None:
    def another(message: Do, context: Context[Hand]) -> None:
        context.reply(Do(deed=message.deed), "whose?")

    with pytest.raises(ActorFailed) as failed:
        await do(another)
    assert "not the request in receive" in str(failed.value.__cause__)


async def test_a_deadline_is_visible_in_receive_and_inherited_by_work() -> None:
    seen: list[float] = []

    async def work() -> object:
        seen.append(anyio.current_effective_deadline())
        return None

    def look(message: Do, context: Context[Hand]) -> None:
        seen.append(context.deadline)
        context.reply_from(message, work)

    hand = Child(name="hand", start=lambda: Hand([]))
    async with open_system(Supervisor(name="root", children=(hand,))) as system:
        with anyio.fail_after(5) as scope:
            await system.ref(hand).ask(Do(deed=look))

    assert seen == [scope.deadline, scope.deadline]


async def test_an_actor_finds_its_siblings_and_itself() -> None:
    notes: list[str] = []
    hand = Child(name="hand", start=lambda: Hand(notes))
    found: list[object] = []

    def look(message: Do, context: Context[Hand]) -> None:
        found.extend((context.self_ref, context.ref(hand)))
        context.reply(message, None)

    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            await system.ref(hand).ask(Do(deed=look))
            assert found == [system.ref(hand)] * 2


async def test_a_notice_for_later_arrives_even_one_made_before_the_actor_is_up() -> None:
    notes: list[str] = []
    hand = Child(name="hand", start=lambda: Hand(notes))

    def later(message: Do, context: Context[Hand]) -> None:
        context.tell_later(Note(text="second"), after=0)
        context.reply(message, None)

    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            await system.ref(hand).ask(Do(deed=later))
            while "second" not in notes:
                await anyio.lowlevel.checkpoint()

    assert notes == ["first", "second", "down"]


async def test_a_timer_does_not_keep_an_actor_from_ending() -> None:
    notes: list[str] = []

    def much_later(message: Do, context: Context[Hand]) -> None:
        context.tell_later(Note(text="never"), after=3600)
        context.reply(message, None)

    await do(much_later, notes)

    assert "never" not in notes


async def test_a_session_child_lives_in_its_parent_and_ends_before_it() -> None:
    notes: list[str] = []
    desk = Desk()
    hand = Child(name="hand", start=lambda: Hand(notes))
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,)), observe=events.append) as system:
            session = await system.ref(hand).ask(Open(child=desk.child("session")))
            assert await session.ask(Add(amount=2)) == 2
            await session.tell(CrashLater())
            assert await session.ask(Add()) == 1
            assert "root/hand/session" in str(system.snapshot())

    stopped = [(event.path, event.cancelled) for event in events if isinstance(event, Stopped)]
    assert stopped == [("root/hand/session", False), ("root/hand", False)]


async def test_a_session_that_steps_down_is_forgotten_and_refuses() -> None:
    hand = Child(name="hand", start=lambda: Hand([]))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            child = Desk().child("session", restart=Restart.TRANSIENT)
            session = await system.ref(hand).ask(Open(child=child))
            await session.tell(Leave())
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ActorStopped):
                await session.ask(Add())
            assert "session'" not in str(system.snapshot()).replace("sessions'", "")


async def test_a_session_that_cannot_be_mended_ends_alone() -> None:
    notes: list[str] = []
    hand = Child(name="hand", start=lambda: Hand(notes))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            session = await system.ref(hand).ask(Open(child=Desk().child("session")))
            with pytest.raises(ActorStopped):
                while True:
                    await session.tell(CrashLater())
                    await session.ask(Add())

    assert notes == ["first", "down"]


async def test_a_session_that_cannot_start_says_why_to_its_spawner() -> None:
    def fail() -> None:
        raise OSError("no session today")

    hand = Child(name="hand", start=lambda: Hand([]))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(hand,))) as system:
            with pytest.raises(ActorFailed) as failed:
                await system.ref(hand).ask(Open(child=Desk().child("session", entering=fail)))

    assert isinstance(failed.value.__cause__, OSError)
