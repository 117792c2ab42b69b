"""callboard.kernel.mailbox: bounded, first in first out, and nothing falls out of it."""

import math

import anyio
import pytest

from callboard.kernel import MailboxSpec
from callboard.kernel.envelope import Envelope
from callboard.kernel.mailbox import Mailbox
from callboard.kernel.signal import choose_signals
from callboard.kernel.trace import UNTRACED

pytestmark = pytest.mark.anyio


def envelope(message: object) -> Envelope:
    return Envelope(message, None, UNTRACED, math.inf)


def mailbox(capacity: int) -> Mailbox:
    return Mailbox(MailboxSpec(capacity=capacity), choose_signals())


def taken(box: Mailbox) -> list[object]:
    messages = []
    while (next_ := box.take()) is not None:
        messages.append(next_.message)
    return messages


async def put_many(box: Mailbox, *messages: object) -> None:
    for message in messages:
        await box.put(envelope(message))


def test_a_mailbox_without_room_is_no_mailbox() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MailboxSpec(capacity=0)


async def test_messages_leave_in_the_order_in_which_they_came() -> None:
    box = mailbox(8)
    await put_many(box, 1, 2, 3)

    assert taken(box) == [1, 2, 3]


async def test_an_offer_is_declined_once_it_is_full() -> None:
    box = mailbox(2)

    assert [box.offer(envelope(n)) for n in range(3)] == [True, True, False]
    assert (len(box), box.peak) == (2, 2)


async def test_a_sender_waits_for_room_and_keeps_its_place_in_line() -> None:
    box = mailbox(1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await put_many(box, 1)
            for message in (2, 3):
                tasks.start_soon(put_many, box, message)
                await anyio.wait_all_tasks_blocked()
            assert box.waiting_senders == 2
            received = taken(box)

    assert received == [1, 2, 3]


async def test_nobody_overtakes_a_waiting_sender() -> None:
    box = mailbox(1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await put_many(box, 1)
            tasks.start_soon(put_many, box, 2)
            await anyio.wait_all_tasks_blocked()
            box.take()
            overtaken = box.offer(envelope(3))

    assert not overtaken
    assert taken(box) == [2]


async def test_a_sender_cancelled_while_it_waits_has_sent_nothing() -> None:
    box = mailbox(1)
    await put_many(box, 1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put_many, box, 2)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert (taken(box), box.waiting_senders) == ([1], 0)


async def test_a_sender_cancelled_as_its_turn_comes_has_sent_nothing_or_all() -> None:
    box = mailbox(1)
    sent: list[bool] = []

    async def send() -> None:
        sent.append(await box.put(envelope(2)))

    await put_many(box, 1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            box.take()

    assert (len(box) == 1) is bool(sent)


async def test_the_reader_wakes_at_an_offer_and_finds_it_in_the_queue() -> None:
    box = mailbox(1)
    found: list[object] = []

    async def read() -> None:
        await box.park()
        found.extend(taken(box))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            box.offer(envelope("hello"))

    assert found == ["hello"]


async def test_a_reader_cancelled_as_an_offer_comes_loses_nothing() -> None:
    box = mailbox(1)

    async def read() -> None:
        await box.park()
        box.take()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            box.offer(envelope("hello"))

    assert taken(box) in (["hello"], [])
    assert box.offer(envelope("again"))


async def test_closing_returns_the_queue_and_turns_senders_away() -> None:
    box = mailbox(1)
    accepted: list[bool] = []

    async def send() -> None:
        accepted.append(await box.put(envelope(2)))

    await put_many(box, 1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            left = box.close()
        accepted.append(await box.put(envelope(3)))

    assert [each.message for each in left] == [1]
    assert accepted == [False, False]
    assert not box.offer(envelope(4))


async def test_a_new_size_keeps_what_is_queued() -> None:
    box = mailbox(3)
    await put_many(box, 1, 2, 3)
    box.resize(MailboxSpec(capacity=1))

    assert not box.offer(envelope(4))
    assert taken(box) == [1, 2, 3]


@pytest.mark.parametrize("end", ["offer", "wake"])
async def test_messages_are_handled_in_place_only_while_the_reader_is_parked(end: str) -> None:
    box = mailbox(1)
    handled: list[object] = []

    def in_place(message: object, _: bool) -> None:
        handled.append(message)

    box.park(in_place)
    assert box.in_place is in_place
    if end == "offer":
        box.offer(envelope(1))
    else:
        box.wake()

    state: tuple[object, object] = box.in_place, box.reader
    assert state == (None, None)
