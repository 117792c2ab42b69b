"""callboard.kernel.ref: when a message is decided in place, when it is not, and `ask_now` and `tell_now`."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from callboard.errors import ActorStopped, Draining, MailboxFull
from callboard.kernel import (
    ActorRef,
    Context,
    MailboxSpec,
    Overflow,
    Restart,
    Supervisor,
    TraceContext,
    open_system,
    use_trace,
)
from tests.kernel.clerk import (
    Clerk,
    Do,
    Note,
    Office,
    Slow,
    answer,
    idle,
    in_one_step,
)
from tests.kernel.counter import Add, Desk

pytestmark = pytest.mark.anyio

STREAK = 64


async def test_trace_and_deadline_are_the_senders() -> None:
    office = Office()
    seen: list[tuple[str, float]] = []

    def look(context: Context[Clerk]) -> None:
        seen.append((context.trace.request_id, context.deadline))

    with anyio.fail_after(5) as outer:
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            with use_trace(TraceContext(request_id="req_1")), anyio.CancelScope(shield=True):
                await ref.tell(Note(text="in place, for ever", deed=look))
            with anyio.fail_after(3) as inner:
                await ref.tell(Note(text="in place", deed=look))

    assert seen == [("req_1", math.inf), ("", inner.deadline)]
    assert outer.deadline > inner.deadline


async def test_only_a_decider_answers_now() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            ref = system.ref(child)
            await idle()
            with pytest.raises(anyio.WouldBlock):
                ref.ask_now(Add())
            assert await ref.ask(Add()) == 1


@pytest.mark.parametrize(
    "overflow,error", [(Overflow.WAIT, anyio.WouldBlock), (Overflow.REJECT, MailboxFull)]
)
async def test_a_notice_that_finds_no_room_now_says_so(overflow: Overflow, error: type[Exception]) -> None:
    office = Office(mailbox=MailboxSpec(capacity=1, overflow=overflow))

    def fill(context: Context[Clerk]) -> None:
        context.self_ref.tell_now(Note(text="queued"))
        with pytest.raises(error):
            context.self_ref.tell_now(Note(text="one too many"))

    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            await idle()
            in_one_step(system.ref(office.child).tell(Note(text="first", deed=fill)))
            await idle()

    assert office.clerks[0].notes == ["first", "queued"]


async def test_a_loop_that_only_asks_lets_others_run_and_finds_out_that_it_was_cancelled() -> None:
    office = Office()
    asked = 0
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            with anyio.CancelScope() as scope:
                scope.cancel()
                while asked < 1_000:
                    await ref.ask(Do(deed=answer))
                    asked += 1

    # It ends at one of those that wait; on trio their answer may come with the cancellation, and is returned.
    assert (asked + 1) % (STREAK + 1) == 0


async def test_a_loop_that_only_tells_lets_others_run() -> None:
    office = Office(mailbox=MailboxSpec(capacity=4))
    told, others = 0, anyio.Event()

    async def run() -> None:
        others.set()

    with anyio.fail_after(5):
        async with open_system(office.tree) as system, anyio.create_task_group() as tasks:
            ref = system.ref(office.child)
            await idle()
            tasks.start_soon(run)
            while not others.is_set() and told < 1_000:
                await ref.tell(Note(text="again"))
                told += 1

    assert told == STREAK + 4 + 1


async def test_turns_of_the_actors_own_task_begin_the_count_again() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            for _ in range(3):
                for _ in range(STREAK):
                    in_one_step(ref.ask(Do(deed=answer)))
                await ref.ask(Do(deed=answer))
                await idle()


async def test_calls_that_cannot_suspend_are_not_counted() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            for _ in range(2 * STREAK):
                ref.ask_now(Do(deed=answer))
                ref.tell_now(Note(text="now"))
            assert len(office.clerks[0].notes) == 2 * STREAK


async def test_a_decider_that_stops_in_place_decides_nothing_more() -> None:
    office = Office(restart=Restart.TEMPORARY)
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            in_one_step(ref.tell(Note(text="last", deed=lambda context: context.stop())))
            with pytest.raises(anyio.WouldBlock):
                ref.ask_now(Do(deed=answer))
            with pytest.raises(ActorStopped):
                await ref.ask(Do(deed=answer))

    assert office.clerks[0].notes == ["last"]


async def test_a_decider_that_waits_for_its_work_to_end_decides_nothing_more() -> None:
    office, slow = Office(restart=Restart.TEMPORARY), Slow()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system, anyio.create_task_group() as tasks:
            ref = system.ref(office.child)
            await idle()
            tasks.start_soon(ref.ask, Do(deed=slow.hand_on))
            await idle()
            ref.tell_now(Note(text="last", deed=lambda context: context.stop()))
            await idle()
            with pytest.raises(anyio.WouldBlock):
                ref.ask_now(Do(deed=answer))
            slow.gate.set()

    assert office.clerks[0].notes == ["last"]


async def test_a_draining_system_refuses_outsiders_and_queues_the_rest() -> None:
    office, desk = Office(), Desk()
    tree = Supervisor(name="root", children=(office.child, desk.child()))
    with anyio.fail_after(5):
        async with open_system(tree) as system, anyio.create_task_group() as tasks:
            ref = system.ref(office.child)
            await idle()
            with system.admit():
                tasks.start_soon(system.drain)
                await idle()
                with pytest.raises(anyio.WouldBlock):
                    ref.ask_now(Do(deed=answer))
                ref.tell_now(Note(text="1"))
                await ref.tell(Note(text="2"))
                assert office.clerks[0].notes == []
                assert await ref.ask(Do(deed=answer)) == "answered"
                await idle()
                await ref.tell(Note(text="3"))
                assert office.clerks[0].notes == ["1", "2"]
            with pytest.raises(Draining):
                ref.ask_now(Do(deed=answer))
            with pytest.raises(Draining):
                await ref.ask(Do(deed=answer))


async def test_work_handed_on_in_place_by_an_outsider_may_ask_on_while_the_system_drains() -> None:
    desk, office, slow = Desk(), Office(), Slow()
    counter = desk.child()
    answers: list[object] = []

    def hand_on(message: Do, context: Context[Clerk]) -> None:
        context.reply_from(message, lambda: ask_on(context.ref(counter)))

    async def ask_on(below: ActorRef[Any]) -> object:
        await slow.gate.wait()
        return await below.ask(Add(amount=5))

    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(counter, office.child))) as system,
            anyio.create_task_group() as tasks,
        ):
            ref = system.ref(office.child)
            await idle()

            async def ask() -> None:
                answers.append(await ref.ask(Do(deed=hand_on)))

            tasks.start_soon(ask)
            await idle()
            tasks.start_soon(system.drain)
            await idle()
            slow.gate.set()

    assert answers == [5]
