"""callboard.kernel.supervisor: starts in order, stops in reverse, restarts whom it should."""

from collections.abc import Callable

import anyio
import pytest

from callboard.errors import ActorFailed, ActorStopped, Draining
from callboard.kernel import (
    Backoff,
    Intensity,
    LifecycleEvent,
    Restart,
    Restarted,
    Started,
    Stopped,
    Strategy,
    Supervisor,
    System,
    open_system,
)
from tests.kernel.counter import Add, Bump, CrashLater, Desk, Hold, Leave, Work

pytestmark = pytest.mark.anyio

AT_ONCE = Backoff(initial=0.0)


async def crash(system: System, desk: Desk, name: str, *, back: str = "") -> None:
    """Crash a child and wait until those in ``back`` answer again; by default all."""
    await system.ref(desk.children[name]).tell(CrashLater())
    for each in back or desk.children:
        await system.ref(desk.children[each]).ask(Add(amount=0))


@pytest.mark.parametrize(
    "strategy,followed_by",
    [
        (Strategy.ONE_FOR_ONE, ["b down", "b up"]),
        (Strategy.ONE_FOR_ALL, ["b down", "c down", "a down", "a up", "b up", "c up"]),
        (Strategy.REST_FOR_ONE, ["b down", "c down", "b up", "c up"]),
    ],
)
async def test_a_crash_restarts_exactly_the_strategys_children_in_order(
    strategy: Strategy, followed_by: list[str]
) -> None:
    desk = Desk()
    tree = Supervisor(name="root", children=tuple(map(desk.child, "abc")), strategy=strategy)
    with anyio.fail_after(5):
        async with open_system(tree) as system:
            assert desk.log == ["a up", "b up", "c up"]
            desk.log.clear()
            await crash(system, desk, "b")
            assert desk.log == followed_by
            desk.log.clear()

    assert desk.log == ["c down", "b down", "a down"]


async def test_requests_queued_behind_a_crash_are_handled_by_the_next_incarnation() -> None:
    desk = Desk()
    child = desk.child()
    answers: dict[int, int] = {}
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)

            async def add(number: int) -> None:
                answers[number] = await ref.ask(Add())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Hold())
                await anyio.wait_all_tasks_blocked()
                await ref.tell(CrashLater())
                for number in (1, 2, 3):
                    tasks.start_soon(add, number)
                    await anyio.wait_all_tasks_blocked()
                desk.gate.set()

    assert answers == {1: 1, 2: 2, 3: 3}


async def test_the_fourth_crash_within_the_window_ends_the_system_with_its_cause() -> None:
    desk = Desk()
    child = desk.child()
    tree = Supervisor(name="root", children=(child,), backoff=AT_ONCE)
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        with pytest.raises(ActorFailed, match="root gave up on counter") as failed:
            async with open_system(tree, observe=events.append) as system:
                for _ in range(4):
                    await crash(system, desk, "counter")
                await anyio.sleep_forever()

    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    assert [type(event).__name__ for event in events].count("Restarted") == 3
    assert desk.log == ["counter up", "counter down"] * 4


async def test_crashes_spread_over_time_never_escalate() -> None:
    desk = Desk()
    child = desk.child()
    now = iter(range(0, 10_000, 2))
    with anyio.fail_after(5):
        async with open_system(
            Supervisor(name="root", children=(child,), backoff=AT_ONCE), clock=lambda: float(next(now))
        ) as system:
            for _ in range(20):
                await crash(system, desk, "counter")
            assert await system.ref(child).ask(Add()) == 1


async def test_a_nested_supervisor_escalates_to_the_one_above_and_comes_back() -> None:
    desk = Desk()
    inner = Supervisor(
        name="inner", children=(desk.child("b"), desk.child("c")), intensity=Intensity(max_restarts=0)
    )
    tree = Supervisor(name="root", children=(desk.child("a"), inner), strategy=Strategy.REST_FOR_ONE)
    with anyio.fail_after(5):
        async with open_system(tree) as system:
            desk.log.clear()
            await crash(system, desk, "b")
            assert desk.log == ["b down", "c down", "b up", "c up"]
            assert await system.ref(desk.children["c"]).ask(Add()) == 1


@pytest.mark.parametrize(
    "restart,comes_back", [(Restart.PERMANENT, True), (Restart.TRANSIENT, False), (Restart.TEMPORARY, False)]
)
async def test_a_child_that_steps_down_comes_back_only_if_it_is_permanent(
    restart: Restart, comes_back: bool
) -> None:
    desk = Desk()
    child = desk.child(restart=restart)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            await system.ref(child).tell(Leave())
            if comes_back:
                await system.ref(child).ask(Add())

    assert desk.log == ["counter up", "counter down"] * (2 if comes_back else 1)


async def test_a_restart_cancels_the_work_of_siblings_that_share_the_fate() -> None:
    desk = Desk()
    tree = Supervisor(name="root", children=tuple(map(desk.child, "ab")), strategy=Strategy.ONE_FOR_ALL)
    with anyio.fail_after(5):
        async with open_system(tree) as system, anyio.create_task_group() as tasks:

            async def work() -> None:
                with pytest.raises(ActorFailed):
                    await system.ref(desk.children["a"]).ask(Work())

            tasks.start_soon(work)
            await anyio.wait_all_tasks_blocked()
            await crash(system, desk, "b")

    assert "work cancelled" in desk.log


async def test_a_failed_first_start_stops_those_before_it_and_raises_as_it_is() -> None:
    desk = Desk()
    children = desk.child("a"), desk.child("b"), desk.child("c", entering=failing(1)), desk.child("d")
    with anyio.fail_after(5):
        with pytest.raises(OSError, match="entrance 1"):
            async with open_system(Supervisor(name="root", children=children)):
                pytest.fail("the system was opened")

    assert desk.log == ["a up", "b up", "b down", "a down"]


async def test_a_failed_first_start_in_a_nested_supervisor_does_the_same() -> None:
    desk = Desk()
    inner = Supervisor(name="inner", children=(desk.child("b"), desk.child("c", entering=failing(1))))
    with anyio.fail_after(5):
        with pytest.raises(OSError, match="entrance 1"):
            async with open_system(Supervisor(name="root", children=(desk.child("a"), inner))):
                pytest.fail("the system was opened")

    assert desk.log == ["a up", "b up", "b down", "a down"]


async def test_a_failed_restart_counts_as_a_crash_and_is_tried_again_in_order() -> None:
    desk = Desk()
    children = desk.child("a"), desk.child("b", entering=failing(2)), desk.child("c")
    tree = Supervisor(name="root", children=children, strategy=Strategy.REST_FOR_ONE, backoff=AT_ONCE)
    with anyio.fail_after(5):
        async with open_system(tree) as system:
            desk.log.clear()
            await crash(system, desk, "b")
            # c is not started before b is.
            assert desk.log == ["b down", "c down", "b up", "c up"]


async def test_a_temporary_child_that_fails_in_a_group_does_not_hold_up_the_others() -> None:
    desk = Desk()
    children = desk.child("a"), desk.child("b", restart=Restart.TEMPORARY), desk.child("c")
    tree = Supervisor(name="root", children=children, strategy=Strategy.ONE_FOR_ALL)
    with anyio.fail_after(5):
        async with open_system(tree) as system:
            desk.log.clear()
            await crash(system, desk, "a", back="ac")
            assert desk.log == ["a down", "c down", "b down", "a up", "c up"]
            with pytest.raises(ActorStopped):
                await system.ref(desk.children["b"]).ask(Add())


async def test_siblings_that_crash_together_are_restarted_once() -> None:
    desk = Desk()
    tree = Supervisor(name="root", children=tuple(map(desk.child, "ab")), strategy=Strategy.ONE_FOR_ALL)
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(tree, observe=events.append) as system:
            await system.ref(desk.children["a"]).tell(CrashLater())
            await crash(system, desk, "b")

    assert [type(event).__name__ for event in events].count("Crashed") == 2
    assert [type(event).__name__ for event in events].count("Restarted") == 1


async def test_a_child_in_its_back_off_does_not_keep_others_from_restarting() -> None:
    desk = Desk()
    tree = Supervisor(
        name="root",
        children=tuple(map(desk.child, "ab")),
        intensity=Intensity(max_restarts=9),
        backoff=Backoff(initial=3600.0, ceiling=3600.0),
    )
    events: list[LifecycleEvent] = []
    now = [0.0]
    with anyio.fail_after(5):
        async with open_system(tree, observe=events.append, clock=lambda: now[-1]) as system:
            await crash(system, desk, "a")
            await crash(system, desk, "a", back="b")
            while [type(event) for event in events].count(Restarted) < 2:
                await anyio.lowlevel.checkpoint()
            now.append(100.0)
            await crash(system, desk, "b", back="b")

    delays = [event.delay_s > 0 for event in events if isinstance(event, Restarted)]
    assert delays == [False, True, False]


async def test_a_child_down_during_a_stop_turns_its_askers_away() -> None:
    desk = Desk()
    lower, upper = desk.child("lower"), desk.child("upper")
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(lower, upper))) as system,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(system.ref(upper).ask, Work())
            await anyio.wait_all_tasks_blocked()
            with system.admit():
                admitted_ref = system.ref(lower)
            tasks.start_soon(system.drain)
            await anyio.wait_all_tasks_blocked()
            await admitted_ref.tell(CrashLater())
            await anyio.wait_all_tasks_blocked()
            assert str(system.snapshot()).count("'stopped'") == 1
            desk.gate.set()


async def test_every_event_of_a_child_tells_its_path_and_incarnation() -> None:
    desk = Desk()
    inner = Supervisor(name="inner", children=(desk.child("a"),))
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(inner,)), observe=events.append) as system:
            await crash(system, desk, "a")
            await system.ref(desk.children["a"]).tell(Bump())

    seen = [
        (type(event).__name__, event.path, event.incarnation)
        for event in events
        if isinstance(event, Started | Stopped)
    ]
    assert seen == [
        ("Started", "root/inner/a", 1),
        ("Started", "root/inner/a", 2),
        ("Stopped", "root/inner/a", 2),
    ]


async def test_a_child_that_does_not_end_within_its_grace_is_cancelled() -> None:
    desk = Desk()
    child = desk.child(grace=0.01)
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system,
            anyio.create_task_group() as tasks,
        ):

            async def ask() -> None:
                with pytest.raises((ActorFailed, Draining)):
                    await system.ref(child).ask(Hold())

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await system.drain(grace=0.01)

    stopped = [event.cancelled for event in events if isinstance(event, Stopped)]
    assert stopped == [True]


def failing(entrance: int) -> Callable[[], None]:
    """Return a `running` that fails at that entrance."""
    entrances = iter(range(1, 1000))

    def enter() -> None:
        if next(entrances) == entrance:
            raise OSError(f"entrance {entrance}")

    return enter
