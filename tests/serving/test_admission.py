"""Places for work: bounded, in order, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from callboard.config import Config, ServerConfig
from callboard.errors import Draining, Overloaded
from callboard.serving.admission import Admission
from callboard.serving.assembly import admission_of
from tests.simulation.loops import run_on_asyncio, run_on_trio

Run = Callable[[Callable[[], Awaitable[None]], int], None]
in_virtual_time = pytest.mark.parametrize("run", [run_on_asyncio, run_on_trio])


class Holder:
    def stop(self, reason: Exception) -> None:
        raise reason


@in_virtual_time
def test_nobody_waits_longer_for_a_place_than_is_allowed(run: Run) -> None:
    async def main() -> None:
        admission = Admission(1, 2, patience_s=10)
        first, second = Holder(), Holder()
        assert admission.take(first)
        since = anyio.current_time()
        with pytest.raises(Overloaded, match="at capacity") as refused:
            await admission.wait(second)
        assert anyio.current_time() - since == pytest.approx(10)
        assert refused.value.retry_after_s >= 1
        assert admission.in_work == 1
        admission.give_back(first)
        assert admission.take(second)

    run(main, 1)


@in_virtual_time
def test_a_place_that_comes_in_time_goes_to_the_first_in_line_and_one_too_many_is_refused(run: Run) -> None:
    async def main() -> None:
        admission = Admission(1, 2, patience_s=10)
        holders = [Holder() for _ in range(4)]
        order: list[int] = []
        assert admission.take(holders[0])

        async def wait(number: int) -> None:
            await admission.wait(holders[number])
            order.append(number)
            await anyio.sleep(4)
            admission.give_back(holders[number])

        async with anyio.create_task_group() as tasks:
            for number in (1, 2):
                tasks.start_soon(wait, number)
                await anyio.sleep(1)
            since = anyio.current_time()
            with pytest.raises(Overloaded):
                await admission.wait(holders[3])
            assert anyio.current_time() == since
            admission.give_back(holders[0])
        assert order == [1, 2]
        assert admission.in_work == 0

    run(main, 1)


@in_virtual_time
def test_the_line_is_never_longer_than_twice_the_places(run: Run) -> None:
    async def main() -> None:
        admission = admission_of(Config(server=ServerConfig(max_concurrency=2, queue=100)))
        assert all(admission.take(holder) for holder in (Holder(), Holder()))
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(admission.wait, Holder())
            await anyio.sleep(1)
            with pytest.raises(Overloaded):
                await admission.wait(Holder())
            assert admission.in_work == 6
            tasks.cancel_scope.cancel()

    run(main, 1)


@in_virtual_time
def test_who_leaves_the_line_takes_no_place_with_him(run: Run) -> None:
    async def main() -> None:
        admission = Admission(1, 1, patience_s=10)
        first, leaves, last = Holder(), Holder(), Holder()
        assert admission.take(first)
        with anyio.move_on_after(1):
            await admission.wait(leaves)
        assert admission.in_work == 1

        async def work() -> None:
            await admission.wait(leaves)
            admission.give_back(leaves)

        # The place is handed over in the instant in which the one who waits is cancelled.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.sleep(1)
            admission.give_back(first)
            tasks.cancel_scope.cancel()
        assert admission.in_work == 0
        assert admission.take(last)
        admission.close()
        with pytest.raises(Draining):
            admission.take(first)

    run(main, 1)
