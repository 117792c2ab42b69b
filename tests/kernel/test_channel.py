"""callboard.kernel.channel: what was sent is read once, in order, whoever is cancelled meanwhile."""

import anyio
import pytest

from callboard.kernel import Channel
from callboard.kernel.signal import choose_signals

pytestmark = pytest.mark.anyio
ALL = 1_000


def channel(room: int) -> Channel[int]:
    return Channel(choose_signals(), room)


async def test_as_many_are_sent_ahead_as_there_is_room_for() -> None:
    way = channel(3)

    assert way.send_some((0, 1)) == 2
    assert way.send_some((2, 3)) == 1
    with pytest.raises(anyio.WouldBlock):
        way.send_nowait(4)
    assert (way.take(2), way.take(ALL), way.take(ALL)) == ([0, 1], [2], [])


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_senders_that_wait_are_let_in_first_come_first(room: int) -> None:
    way = channel(room)
    read: list[int] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(way.send, number)
                await anyio.wait_all_tasks_blocked()
            while len(read) < 5:
                read += way.take(1) or way.take(1)
    assert read == list(range(5))


async def test_with_no_room_an_event_is_sent_when_it_is_read() -> None:
    way = channel(0)
    sent: list[int] = []

    async def send() -> None:
        await way.send(1)
        sent.append(1)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert sent == []
            assert way.take(ALL) == [1]
            await anyio.wait_all_tasks_blocked()
            assert sent == [1]


async def test_a_sender_that_is_cancelled_while_it_waits_has_sent_nothing() -> None:
    way = channel(1)
    way.send_nowait(0)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(way.send, 1)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert way.take(ALL) == [0]
    assert way.take(ALL) == []


async def test_a_reader_that_is_cancelled_as_an_event_comes_leaves_it_there() -> None:
    way = channel(1)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(way.wait)
            await anyio.wait_all_tasks_blocked()
            way.send_nowait(7)
            tasks.cancel_scope.cancel()
    assert way.take(ALL) == [7]


async def test_what_was_sent_before_the_end_can_still_be_read() -> None:
    way = channel(2)
    way.send_nowait(1)
    way.close()

    with pytest.raises(anyio.BrokenResourceError):
        way.send_nowait(2)
    assert way.take(ALL) == [1]
    assert not await way.wait()


@pytest.mark.parametrize("end", ["close", "leave"])
async def test_an_end_wakes_both_sides(end: str) -> None:
    full, empty = channel(1), channel(1)
    full.send_nowait(0)
    ended: list[str] = []

    async def send() -> None:
        with pytest.raises(anyio.BrokenResourceError):
            await full.send(1)
        ended.append("sender")

    async def read() -> None:
        await empty.wait()
        ended.append("reader")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            for way in (full, empty):
                getattr(way, end)()
    assert sorted(ended) == ["reader", "sender"]


async def test_who_has_left_reads_nothing_more() -> None:
    way = channel(1)
    way.send_nowait(1)
    way.leave()

    assert way.take(ALL) == []
    with pytest.raises(anyio.ClosedResourceError):
        await way.wait()
