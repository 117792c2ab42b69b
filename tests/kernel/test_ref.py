"""callboard.kernel.ref: tell, ask and stream, as the sender sees them."""

import anyio
import pytest

from callboard.errors import ActorFailed, ActorStopped, MailboxFull
from callboard.kernel import MailboxSpec, Overflow, Restart, Supervisor, open_system
from tests.kernel.counter import Add, Bump, Count, Crash, Decline, Declined, Desk, Forget, Hold, Leave, Work

pytestmark = pytest.mark.anyio

FULL_AT_ONE = MailboxSpec(capacity=1, overflow=Overflow.REJECT)
WAITS_AT_ONE = MailboxSpec(capacity=1, overflow=Overflow.WAIT)


async def test_an_ask_is_answered_with_its_value() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            assert [await ref.ask(Add(amount=n)) for n in (1, 2, 3)] == [1, 3, 6]


async def test_messages_of_one_sender_are_handled_in_order() -> None:
    child = Desk().child(mailbox=WAITS_AT_ONE)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            for _ in range(10):
                await ref.tell(Bump())
            assert await ref.ask(Add(amount=0)) == 10


async def test_a_refusal_is_an_answer_and_keeps_the_state() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            await ref.ask(Add(amount=4))
            with pytest.raises(Declined):
                await ref.ask(Decline())
            assert await ref.ask(Add()) == 5


async def test_a_crash_reaches_the_asker_with_its_cause_and_clears_the_state() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            await ref.ask(Add(amount=4))
            with pytest.raises(ActorFailed) as failed:
                await ref.ask(Crash())
            assert isinstance(failed.value.__cause__, ZeroDivisionError)
            assert await ref.ask(Add()) == 1


async def test_an_ask_left_unanswered_fails_at_once_and_keeps_the_state() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            await ref.ask(Add(amount=4))
            with pytest.raises(ActorFailed, match="without answering"):
                await ref.ask(Forget())
            assert await ref.ask(Add()) == 5


async def test_a_full_mailbox_that_rejects_raises_and_one_that_waits_waits() -> None:
    desk = Desk()
    edge = desk.child("edge", mailbox=FULL_AT_ONE)
    inside = desk.child("inside", mailbox=WAITS_AT_ONE)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(edge, inside))) as system:
            async with anyio.create_task_group() as tasks:
                for child in (edge, inside):
                    tasks.start_soon(system.ref(child).ask, Hold())
                    await anyio.wait_all_tasks_blocked()
                    await system.ref(child).tell(Bump())
                with pytest.raises(MailboxFull):
                    await system.ref(edge).tell(Bump())
                with pytest.raises(MailboxFull):
                    await system.ref(edge).ask(Add())
                tasks.start_soon(system.ref(inside).tell, Bump())
                await anyio.wait_all_tasks_blocked()
                desk.gate.set()
            assert await system.ref(edge).ask(Add(amount=0)) == 1
            assert await system.ref(inside).ask(Add(amount=0)) == 2


async def test_a_request_whose_asker_left_before_its_turn_is_skipped() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Hold())
                await anyio.wait_all_tasks_blocked()
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(ref.ask, Add(amount=100))
                    await anyio.wait_all_tasks_blocked()
                    leaving.cancel_scope.cancel()
                desk.gate.set()
            assert await ref.ask(Add()) == 1


async def test_receive_is_not_cut_short_when_its_asker_leaves() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(ref.ask, Hold())
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            desk.gate.set()
            await ref.ask(Add())

    assert "held to the end" in desk.log


async def test_work_is_cancelled_when_its_asker_leaves() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(system.ref(child).ask, Work())
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert "work cancelled" in desk.log


async def test_a_deadline_of_the_asker_raises_there_and_cancels_the_work() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            with pytest.raises(TimeoutError), anyio.fail_after(0.01):
                await system.ref(child).ask(Work())
            await anyio.wait_all_tasks_blocked()
            assert "work cancelled" in desk.log
            assert await system.ref(child).ask(Add()) == 1


async def test_a_shielded_ask_is_answered_though_its_asker_is_cancelled() -> None:
    desk = Desk()
    child = desk.child()
    seen: list[int] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)

            async def ask() -> None:
                seen.append(await ref.ask_shielded(Work()))
                await anyio.sleep_forever()

            async with anyio.create_task_group() as leaving:
                leaving.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.wait_all_tasks_blocked()
                    assert seen == []
                    desk.gate.set()
    assert seen == [0]
    assert "work cancelled" not in desk.log


async def test_a_shielded_ask_waits_for_room_though_its_asker_is_cancelled() -> None:
    desk = Desk()
    child = desk.child(mailbox=WAITS_AT_ONE)
    seen: list[int] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)

            async def ask() -> None:
                seen.append(await ref.ask_shielded(Add(amount=7)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Hold())
                await anyio.wait_all_tasks_blocked()
                await ref.tell(Bump())
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(ask)
                    await anyio.wait_all_tasks_blocked()
                    leaving.cancel_scope.cancel()
                    desk.gate.set()
    assert seen == [8]


async def test_a_shielded_ask_knows_no_deadline() -> None:
    desk = Desk()
    child = desk.child()
    seen: list[int] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:

            async def ask() -> None:
                with anyio.move_on_after(0) as scope:
                    seen.append(await system.ref(child).ask_shielded(Work()))
                    await anyio.lowlevel.checkpoint()
                assert scope.cancelled_caught

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                desk.gate.set()
    assert seen == [0]


async def test_a_shielded_ask_fails_with_what_failed_it() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            with pytest.raises(Declined):
                await ref.ask_shielded(Decline())
            with pytest.raises(ActorFailed):
                await ref.ask_shielded(Crash())


async def test_a_notice_told_from_a_cancelled_block_is_delivered() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            with anyio.CancelScope() as scope:
                scope.cancel()
                try:
                    await anyio.lowlevel.checkpoint()
                finally:
                    await ref.tell(Bump())
            assert await ref.ask(Add()) == 2


async def test_an_actor_that_ended_refuses_asks_at_once_and_buries_notices() -> None:
    child = Desk().child(restart=Restart.TEMPORARY)
    events: list[object] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system:
            ref = system.ref(child)
            await ref.tell(Leave())
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ActorStopped):
                await ref.ask(Add())
            with pytest.raises(ActorStopped):
                async with ref.stream(Count(upto=1)):
                    pytest.fail("the stream was opened")
            await ref.tell(Bump())

    assert [type(event).__name__ for event in events].count("DeadLetter") == 3


async def test_a_reference_is_hashable_and_the_same_for_the_same_child() -> None:
    first, second = Desk().child("first"), Desk().child("second")
    async with open_system(Supervisor(name="root", children=(first, second))) as system:
        assert {system.ref(first): 1}[system.ref(first)] == 1
        assert system.ref(first) != system.ref(second)
        assert "root/first" in repr(system.ref(first))
