"""callboard.kernel.system: opening, draining and leaving a tree."""

import anyio
import pytest

from callboard.errors import ActorFailed, Draining
from callboard.kernel import Child, Drained, LifecycleEvent, Stopped, Supervisor, open_system
from tests.kernel.counter import Add, Bump, Count, Counter, CrashLater, Desk, Hold, Work

pytestmark = pytest.mark.anyio


async def test_a_drain_lets_the_queue_and_the_work_finish() -> None:
    desk = Desk()
    child = desk.child()
    answers: list[int] = []
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system:
            ref = system.ref(child)

            async def ask(request: Add | Hold | Work) -> None:
                answers.append(await ref.ask(request))

            async with anyio.create_task_group() as tasks:
                for request in (Work(), Hold(), Add(), Add()):
                    tasks.start_soon(ask, request)
                    await anyio.wait_all_tasks_blocked()
                tasks.start_soon(system.drain)
                await anyio.wait_all_tasks_blocked()
                assert answers == []
                desk.gate.set()

    assert len(answers) == 4
    assert {1, 2} <= set(answers), "the queue was not emptied"
    assert [event.in_time for event in events if isinstance(event, Drained)] == [True]


async def test_a_drain_refuses_new_asks_and_streams_from_outside_at_once() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Work())
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(system.drain)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(Draining):
                    await ref.ask(Add())
                with pytest.raises(Draining):
                    async with ref.stream(Count(upto=1)):
                        pytest.fail("the stream was opened")
                with pytest.raises(Draining), system.admit():
                    pytest.fail("the block was admitted")
                await ref.tell(Bump())
                desk.gate.set()


async def test_a_drain_waits_for_admitted_work_which_may_go_on_asking() -> None:
    desk = Desk()
    child = desk.child()
    answers: list[int] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:

            async def one_request() -> None:
                with system.admit():
                    await desk.gate.wait()
                    answers.append(await system.ref(child).ask(Add()))
                    async with anyio.create_task_group() as inner:
                        inner.start_soon(system.ref(child).tell, Bump())
                    answers.append(await system.ref(child).ask(Add()))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one_request)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(system.drain)
                await anyio.wait_all_tasks_blocked()
                desk.gate.set()

    assert answers == [1, 3]


async def test_what_outlasts_the_grace_is_cancelled_in_reverse_order_and_told() -> None:
    desk = Desk()
    tree = Supervisor(name="root", children=tuple(map(desk.child, "abc")))
    events: list[LifecycleEvent] = []
    failures: list[BaseException] = []
    with anyio.fail_after(5):
        async with open_system(tree, observe=events.append) as system, anyio.create_task_group() as tasks:

            async def ask(name: str) -> None:
                try:
                    await system.ref(desk.children[name]).ask(Hold())
                except ActorFailed as failed:
                    failures.append(failed)

            for name in "abc":
                tasks.start_soon(ask, name)
            await anyio.wait_all_tasks_blocked()
            await system.drain(grace=0.01)

    stopped = [(event.path, event.cancelled) for event in events if isinstance(event, Stopped)]
    assert stopped == [("root/c", True), ("root/b", True), ("root/a", True)]
    assert len(failures) == 3
    assert [event.in_time for event in events if isinstance(event, Drained)] == [False]


async def test_asks_still_queued_when_an_actor_is_cut_short_are_answered() -> None:
    desk = Desk()
    child = desk.child()
    refused: list[str] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)

            async def add() -> None:
                with pytest.raises(Draining):
                    await ref.ask(Add())
                refused.append("told")

            async def hold() -> None:
                with pytest.raises(ActorFailed):
                    await ref.ask(Hold())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hold)
                await anyio.wait_all_tasks_blocked()
                for _ in range(3):
                    tasks.start_soon(add)
                await anyio.wait_all_tasks_blocked()
                await system.drain(grace=0.0)

    assert refused == ["told"] * 3


async def test_leaving_the_block_stops_in_reverse_and_keeps_its_exception() -> None:
    desk = Desk()
    with anyio.fail_after(5):
        with pytest.raises(LookupError, match="mine"):
            async with open_system(Supervisor(name="root", children=tuple(map(desk.child, "ab")))):
                raise LookupError("mine")

    assert desk.log == ["a up", "b up", "b down", "a down"]


async def test_cancelling_the_block_stops_at_once_and_still_in_reverse() -> None:
    desk = Desk()
    tree = Supervisor(name="root", children=tuple(map(desk.child, "abc")))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                async with open_system(tree) as system, anyio.create_task_group() as askers:
                    for name in "abc":
                        askers.start_soon(system.ref(desk.children[name]).ask, Hold())
                    await anyio.sleep_forever()

            tasks.start_soon(serve)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert desk.log[-3:] == ["c down", "b down", "a down"]


async def test_the_root_giving_up_cancels_the_block() -> None:
    desk = Desk()
    child = desk.child()
    left: list[str] = []
    with anyio.fail_after(5):
        with pytest.raises(ActorFailed):
            async with open_system(Supervisor(name="root", children=(child,))) as system:
                try:
                    for _ in range(4):
                        await system.ref(child).tell(CrashLater())
                    await anyio.sleep_forever()
                finally:
                    left.append("cancelled")

    assert left == ["cancelled"]


async def test_a_snapshot_shows_the_tree_with_its_queues() -> None:
    desk = Desk()
    inner = Supervisor(name="inner", children=(desk.child(),))
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(inner,))) as system:
            ref = system.ref(desk.children["counter"])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Hold())
                await anyio.wait_all_tasks_blocked()
                await ref.tell(Bump())
                await ref.tell(Bump())
                snapshot = system.snapshot()
                desk.gate.set()

    assert snapshot == {
        "name": "root",
        "path": "root",
        "strategy": "one_for_one",
        "restarts": 0,
        "children": (
            {
                "name": "inner",
                "path": "root/inner",
                "strategy": "one_for_one",
                "restarts": 0,
                "children": (
                    {
                        "name": "counter",
                        "path": "root/inner/counter",
                        "state": "running",
                        "incarnation": 1,
                        "queued": 2,
                        "peak": 2,
                        "capacity": 64,
                        "waiting_senders": 0,
                        "handled": 1,
                        "skipped": 0,
                        "rejected": 0,
                        "dead": 0,
                        "working": 0,
                        "sessions": (),
                    },
                ),
            },
        ),
    }


async def test_a_tree_that_holds_a_child_twice_is_refused() -> None:
    child = Desk().child()
    inner = Supervisor(name="inner", children=(child,))
    with pytest.raises(ValueError, match="twice"):
        async with open_system(Supervisor(name="root", children=(child, inner))):
            pytest.fail("the system was opened")


async def test_asking_for_a_child_of_another_tree_is_a_key_error() -> None:
    stranger: Child[Counter] = Desk().child()
    async with open_system(Supervisor(name="root", children=())) as system:
        with pytest.raises(KeyError):
            system.ref(stranger)
