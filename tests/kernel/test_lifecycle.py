"""callboard.kernel.lifecycle: events are plain values that carry no content."""

import anyio
import msgspec
import pytest

from callboard.errors import ActorFailed, MailboxFull
from callboard.kernel import (
    DeadLetter,
    DeadLetterReason,
    LifecycleEvent,
    MailboxRejected,
    MailboxSpec,
    Overflow,
    Restart,
    Supervisor,
    open_system,
)
from tests.kernel.counter import Bump, Desk, Forget, Hold, Leave

pytestmark = pytest.mark.anyio


async def test_what_nobody_acts_on_is_a_dead_letter_with_its_reason() -> None:
    desk = Desk()
    child = desk.child(restart=Restart.TEMPORARY)
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system:
            ref = system.ref(child)
            with pytest.raises(ActorFailed):
                await ref.ask(Forget())
            await ref.tell(Leave())
            await ref.tell(Bump())
            await anyio.wait_all_tasks_blocked()

    letters = [(event.request, event.reason) for event in events if isinstance(event, DeadLetter)]
    assert letters == [("Forget", DeadLetterReason.UNANSWERED), ("Bump", DeadLetterReason.STOPPED)]


async def test_a_rejection_is_observed() -> None:
    desk = Desk()
    child = desk.child(mailbox=MailboxSpec(capacity=1, overflow=Overflow.REJECT))
    events: list[LifecycleEvent] = []
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,)), observe=events.append) as system,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(system.ref(child).ask, Hold())
            await anyio.wait_all_tasks_blocked()
            await system.ref(child).tell(Bump())
            with pytest.raises(MailboxFull):
                await system.ref(child).tell(Bump())
            desk.gate.set()

    assert [event.request for event in events if isinstance(event, MailboxRejected)] == ["Bump"]


def test_an_event_can_be_written_down_as_it_is() -> None:
    event = DeadLetter(at=1.0, path="root/a", request="Add", reason=DeadLetterReason.STOPPED)

    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "type": "DeadLetter",
        "at": 1.0,
        "path": "root/a",
        "request": "Add",
        "reason": "stopped",
    }
