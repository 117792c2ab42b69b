"""callboard.kernel.cell: one incarnation, one message at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from callboard.errors import ActorFailed
from callboard.kernel import Actor, Child, Context, Crashed, LifecycleEvent, Notice, Supervisor, open_system
from tests.kernel.counter import Bump, CrashLater, Desk, Work

pytestmark = pytest.mark.anyio


class Ping(Notice["Endless"], frozen=True, kw_only=True):
    """Tell oneself again."""


class Endless(Actor[Ping]):
    """An actor that never runs out of messages."""

    def __init__(self) -> None:
        self.handled = 0

    async def receive(self, message: Ping, context: Context[Endless]) -> None:
        self.handled += 1
        if self.handled < 10_000:
            # Room is certain here: the mailbox has just lost this message.
            await context.self_ref.tell(Ping())


async def test_a_busy_actor_lets_others_run() -> None:
    actor = Endless()
    child = Child(name="endless", start=lambda: actor)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            await system.ref(child).tell(Ping())
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            assert 0 < actor.handled < 10_000


async def test_a_crash_over_a_notice_is_observed_with_its_error() -> None:
    child = Desk().child()
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system:
            await system.ref(child).tell(CrashLater())
            await anyio.wait_all_tasks_blocked()

    assert [type(event.error) for event in events if isinstance(event, Crashed)] == [ZeroDivisionError]


async def test_work_ends_before_what_running_holds_is_let_go() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            anyio.create_task_group() as tasks,
        ):

            async def ask() -> None:
                with pytest.raises(ActorFailed) as failed:
                    await system.ref(child).ask(Work())
                assert isinstance(failed.value.__cause__, ZeroDivisionError)

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await system.ref(child).tell(CrashLater())

    assert desk.log[:3] == ["counter up", "work cancelled", "counter down"]


class Nursed(Actor[Bump]):
    """An actor whose ``running`` holds a task that fails when told to."""

    def __init__(self, fail: anyio.Event) -> None:
        self.fail = fail

    @asynccontextmanager
    async def running(self, context: Context[Nursed]) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._session)
            yield
            tasks.cancel_scope.cancel()

    async def _session(self) -> None:
        await self.fail.wait()
        self.fail = anyio.Event()
        raise ConnectionError("the session broke")


async def test_an_error_in_what_running_holds_crashes_the_incarnation() -> None:
    breaks = [anyio.Event(), anyio.Event()]
    incarnations = iter(breaks)
    child = Child(name="nursed", start=lambda: Nursed(next(incarnations)))
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append):
            breaks[0].set()
            while len(events) < 4:
                await anyio.lowlevel.checkpoint()

    assert [type(event).__name__ for event in events] == [
        "Started",
        "Crashed",
        "Restarted",
        "Started",
        "Stopped",
    ]
    assert [str(event.error) for event in events if isinstance(event, Crashed)] == ["the session broke"]
