"""callboard.kernel.work: spawned work fails for its asker alone."""

import anyio
import pytest

from callboard.errors import ActorFailed
from callboard.kernel import LifecycleEvent, Supervisor, WorkFailed, open_system
from callboard.kernel.work import sole_cause
from tests.kernel.counter import Add, Declined, Desk, Work

pytestmark = pytest.mark.anyio


async def test_an_error_in_work_reaches_its_asker_and_leaves_the_actor_alive() -> None:
    desk = Desk()
    desk.gate.set()
    child = desk.child()
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system:
            ref = system.ref(child)
            await ref.ask(Add(amount=4))
            with pytest.raises(ActorFailed) as failed:
                await ref.ask(Work(error=OSError("disk")))
            assert await ref.ask(Add()) == 5

    assert isinstance(failed.value.__cause__, OSError)
    assert [event.request for event in events if isinstance(event, WorkFailed)] == ["Work"]


@pytest.mark.parametrize("error", [Declined("no"), ExceptionGroup("one", [Declined("no")])])
async def test_a_refusal_from_work_is_the_answer_even_out_of_a_task_group(error: Exception) -> None:
    desk = Desk()
    desk.gate.set()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            with pytest.raises(Declined):
                await system.ref(child).ask(Work(error=error))


async def test_work_does_not_hold_up_the_next_message() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(system.ref(child).ask, Work())
            await anyio.wait_all_tasks_blocked()
            assert await system.ref(child).ask(Add()) == 1
            desk.gate.set()


def test_only_groups_of_one_are_unwrapped() -> None:
    inner, two = OSError(), ExceptionGroup("two", [OSError(), ValueError()])

    assert sole_cause(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner
    assert sole_cause(two) is two
