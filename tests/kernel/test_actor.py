"""callboard.kernel.actor: an idle Decider is called in place, and nobody can tell by the outcome."""

from __future__ import annotations

import anyio
import pytest

from callboard.errors import ActorFailed
from callboard.kernel import (
    Context,
    Crashed,
    DeadLetterReason,
    TraceContext,
    open_system,
    use_trace,
)
from tests.kernel.clerk import (
    Clerk,
    Declined,
    Do,
    Note,
    Office,
    Slow,
    answer,
    books,
    crash,
    idle,
    in_one_step,
)

pytestmark = pytest.mark.anyio


async def test_an_idle_decider_answers_in_the_askers_own_step() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            assert in_one_step(ref.ask(Do(deed=answer))) == "answered"
            in_one_step(ref.tell(Note(text="one")))
            assert office.clerks[0].notes == ["one"]
            assert (books(system)["handled"], books(system)["peak"]) == (2, 0)


async def test_what_comes_while_something_is_queued_queues_behind_it() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            ref.tell_now(Note(text="1", deed=lambda context: context.self_ref.tell_now(Note(text="2"))))
            await ref.tell(Note(text="3"))
            assert office.clerks[0].notes == ["1"]
            await ref.ask(Do(deed=answer))
            assert office.clerks[0].notes == ["1", "2", "3"]
            assert books(system)["handled"] == 4


async def test_a_decider_that_is_reached_from_its_own_decision_queues() -> None:
    office = Office()
    seen: list[str] = []

    def again(message: Do, context: Context[Clerk]) -> None:
        with pytest.raises(anyio.WouldBlock):
            context.self_ref.ask_now(Do(deed=answer))
        context.self_ref.tell_now(Note(text="later", deed=lambda _: seen.append("told")))
        seen.append("decided")
        context.reply(message, None)

    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            await idle()
            in_one_step(system.ref(office.child).ask(Do(deed=again)))
            await idle()

    assert seen == ["decided", "told"]


async def test_a_refusal_in_place_is_an_answer_and_keeps_the_actor() -> None:
    def decline(message: Do, context: Context[Clerk]) -> None:
        raise Declined("no")

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(Declined):
                await ref.ask(Do(deed=decline))
            assert in_one_step(ref.ask(Do(deed=answer))) == "answered"

    assert (len(office.clerks), office.letters()) == (1, [])


async def test_a_refused_notice_is_a_dead_letter() -> None:
    def decline(context: Context[Clerk]) -> None:
        raise Declined("no")

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            await idle()
            in_one_step(system.ref(office.child).tell(Note(text="x", deed=decline)))

    assert office.letters() == [DeadLetterReason.REFUSED]


async def test_a_crash_in_place_reaches_the_asker_with_its_cause_and_ends_the_incarnation() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(ActorFailed) as failed:
                await ref.ask(Do(deed=crash))
            assert isinstance(failed.value.__cause__, ZeroDivisionError)
            assert await ref.ask(Do(deed=answer)) == "answered"

    crashes = [event.error for event in office.events if isinstance(event, Crashed)]
    assert crashes == [failed.value.__cause__]
    assert len(office.clerks) == 2


async def test_nothing_more_is_decided_by_an_incarnation_that_has_crashed() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(ActorFailed):
                ref.ask_now(Do(deed=crash))
            ref.tell_now(Note(text="after"))
            with pytest.raises(anyio.WouldBlock):
                ref.ask_now(Do(deed=answer))
            await ref.ask(Do(deed=answer))

    assert [clerk.notes for clerk in office.clerks] == [[], ["after"]]


async def test_a_notice_that_crashes_its_reader_does_not_touch_its_sender() -> None:
    def fail(context: Context[Clerk]) -> None:
        raise ZeroDivisionError("crash")

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            await idle()
            in_one_step(system.ref(office.child).tell(Note(text="x", deed=fail)))
            await idle()

    assert len(office.named(Crashed)) == 1


async def test_a_crash_just_before_the_end_of_the_system_is_still_a_crash() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            await idle()
            with pytest.raises(ActorFailed):
                await system.ref(office.child).ask(Do(deed=crash))

    assert len(office.named(Crashed)) == 1


async def test_a_request_left_unanswered_in_place_fails_at_once() -> None:
    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(ActorFailed, match="without answering"):
                await ref.ask(Do(deed=lambda message, context: None))
            assert in_one_step(ref.ask(Do(deed=answer))) == "answered"

    assert (len(office.clerks), office.letters()) == (1, [DeadLetterReason.UNANSWERED])


async def test_an_answer_stands_whatever_comes_after_it() -> None:
    def answer_and_refuse(message: Do, context: Context[Clerk]) -> None:
        context.reply(message, 1)
        raise Declined("too late")

    def answer_and_crash(message: Do, context: Context[Clerk]) -> None:
        context.reply(message, 2)
        crash(message, context)

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree, observe=office.events.append) as system:
            ref = system.ref(office.child)
            await idle()
            assert await ref.ask(Do(deed=answer_and_refuse)) == 1
            assert await ref.ask(Do(deed=answer_and_crash)) == 2
            await idle()

    assert office.letters() == [DeadLetterReason.REFUSED]
    assert len(office.named(Crashed)) == 1


@pytest.mark.parametrize("again", ["reply", "reply_from"])
async def test_answering_twice_in_place_is_a_bug(again: str) -> None:
    async def work() -> object:
        return 2

    def twice(message: Do, context: Context[Clerk]) -> None:
        context.reply(message, 1)
        with pytest.raises(RuntimeError, match="answered already"):
            if again == "reply":
                context.reply(message, 2)
            else:
                context.reply_from(message, work)

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            await idle()
            assert in_one_step(system.ref(office.child).ask(Do(deed=twice))) == 1


async def test_answering_another_request_in_place_is_a_bug() -> None:
    def another(message: Do, context: Context[Clerk]) -> None:
        context.reply(Do(deed=answer), "whose?")

    office = Office()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            await idle()
            with pytest.raises(ActorFailed) as failed:
                await system.ref(office.child).ask(Do(deed=another))

    assert "not the request in receive" in str(failed.value.__cause__)


async def test_an_asker_waits_for_what_is_handed_on_and_the_actor_is_idle_meanwhile() -> None:
    office, slow = Office(), Slow()
    answers: list[object] = []
    with anyio.fail_after(5):
        async with open_system(office.tree) as system, anyio.create_task_group() as tasks:
            ref = system.ref(office.child)
            await idle()

            async def ask() -> None:
                with use_trace(TraceContext(request_id="req_1")):
                    answers.append(await ref.ask(Do(deed=slow.hand_on)))

            tasks.start_soon(ask)
            await idle()
            assert in_one_step(ref.ask(Do(deed=answer))) == "answered"
            assert books(system)["working"] == 1
            slow.gate.set()

    assert (answers, slow.log) == (["from work"], ["req_1"])


async def test_work_handed_on_in_place_is_cancelled_when_its_asker_leaves() -> None:
    office, slow = Office(), Slow()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            await idle()
            with pytest.raises(TimeoutError), anyio.fail_after(0.01):
                await system.ref(office.child).ask(Do(deed=slow.hand_on))
            await idle()

    assert slow.log == ["", "cancelled"]


async def test_work_handed_on_in_place_is_withdrawn_from_one_who_cannot_wait() -> None:
    office, slow = Office(), Slow()
    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(anyio.WouldBlock):
                ref.ask_now(Do(deed=slow.hand_on))
            while slow.log != ["", "cancelled"]:
                await anyio.lowlevel.checkpoint()
            assert ref.ask_now(Do(deed=answer)) == "answered"


async def test_a_refusal_after_handing_on_cancels_the_work() -> None:
    office, slow = Office(), Slow()

    def both(message: Do, context: Context[Clerk]) -> None:
        slow.hand_on(message, context)
        raise Declined("no")

    with anyio.fail_after(5):
        async with open_system(office.tree) as system:
            ref = system.ref(office.child)
            await idle()
            with pytest.raises(Declined):
                await ref.ask(Do(deed=both))
            await idle()

    assert slow.log == ["", "cancelled"]
