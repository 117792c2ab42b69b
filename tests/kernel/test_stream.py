"""callboard.kernel.stream: events arrive in order, and leaving ends the producer."""

import anyio
import pytest

from callboard.errors import ActorFailed
from callboard.kernel import ActorRef, MailboxSpec, Overflow, Supervisor, open_system
from tests.kernel.counter import Count, Counter, Crash, Declined, Desk, Hold

pytestmark = pytest.mark.anyio


async def collect(ref: ActorRef[Counter], request: Count, *, buffer: int = 0) -> list[int]:
    numbers: list[int] = []
    async with ref.stream(request, buffer=buffer) as stream:
        async for number in stream:
            numbers.append(number)  # noqa: PERF401 - what came before an error counts
    return numbers


@pytest.mark.parametrize("buffer", [0, 1, 16])
async def test_every_event_arrives_in_order_and_then_the_end(buffer: int) -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            assert await collect(system.ref(child), Count(upto=5), buffer=buffer) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("buffer", [0, 16])
@pytest.mark.parametrize("error,raised", [(Declined("enough"), Declined), (KeyError("bug"), ActorFailed)])
async def test_the_producers_error_comes_after_the_last_event(
    buffer: int, error: Exception, raised: type[Exception]
) -> None:
    child = Desk().child()
    numbers: list[int] = []
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            system.ref(child).stream(Count(upto=2, error=error), buffer=buffer) as stream,
        ):
            with pytest.raises(raised):
                async for number in stream:
                    numbers.append(number)  # noqa: PERF401 - what came before the error counts
            assert await stream.some() == []
    assert numbers == [0, 1]


async def test_leaving_the_block_cancels_the_producer() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            async with system.ref(child).stream(Count(upto=1_000_000)) as stream:
                async for number in stream:
                    if number == 2:
                        break
            await anyio.wait_all_tasks_blocked()
            assert "producer cancelled" in desk.log
            assert await collect(system.ref(child), Count(upto=1)) == [0]


async def test_a_slow_consumer_holds_the_producer_back() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            system.ref(child).stream(Count(upto=1_000_000), buffer=3) as stream,
        ):
            await anyio.wait_all_tasks_blocked()
            assert [await anext(stream) for _ in range(2)] == [0, 1]


async def test_a_stream_nobody_came_to_read_is_never_begun() -> None:
    desk = Desk()
    child = desk.child()
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(system.ref(child).ask, Hold())
            await anyio.wait_all_tasks_blocked()
            async with system.ref(child).stream(Count(upto=1_000_000)):
                pass
            desk.gate.set()

    assert "producer cancelled" not in desk.log


async def test_a_crash_ends_the_streams_of_the_incarnation_with_its_cause() -> None:
    child = Desk().child()
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            system.ref(child).stream(Count(upto=1_000_000)) as stream,
        ):
            await anext(stream)
            with pytest.raises(ActorFailed):
                await system.ref(child).ask(Crash())
            with pytest.raises(ActorFailed) as failed:
                async for _ in stream:
                    pass

    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_a_stream_waits_for_a_place_in_a_full_mailbox() -> None:
    desk = Desk()
    child = desk.child(mailbox=MailboxSpec(capacity=1, overflow=Overflow.WAIT))
    collected: list[list[int]] = []

    async def read(ref: ActorRef[Counter]) -> None:
        collected.append(await collect(ref, Count(upto=2)))

    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(system.ref(child).ask, Hold())
            for _ in range(3):
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(read, system.ref(child))
            await anyio.wait_all_tasks_blocked()
            desk.gate.set()

    assert collected == [[0, 1]] * 3


async def test_what_has_come_is_had_at_once_and_nothing_is_had_twice() -> None:
    child = Desk().child()
    seen: list[list[int]] = []
    with anyio.fail_after(5):
        async with (
            open_system(Supervisor(name="root", children=(child,))) as system,
            system.ref(child).stream(Count(upto=6), buffer=4) as stream,
        ):
            await anyio.wait_all_tasks_blocked()
            while some := await stream.some():
                seen.append(some)
                await anyio.wait_all_tasks_blocked()
            assert await stream.some() == []
    assert [number for batch in seen for number in batch] == list(range(6))
    assert len(seen[0]) > 1
