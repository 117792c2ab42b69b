"""callboard.kernel.signal: both sides agree whether a wake-up was seen."""

import asyncio

import anyio
import pytest

from callboard.kernel.signal import EventSignal, FutureSignal, Signal, signal_factory

pytestmark = pytest.mark.anyio


async def wait(signal: Signal) -> str:
    try:
        await signal
    except BaseException as cancellation:
        if signal.outlives(cancellation):
            return "outlived"
        raise
    return "woken"


async def test_the_waiter_wakes_once_it_is_set() -> None:
    signal, woken = signal_factory()(), []

    async def waiter() -> None:
        woken.append(await wait(signal))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            assert signal.set() is True

    assert woken == ["woken"]


async def test_setting_it_before_the_wait_is_not_lost() -> None:
    signal = signal_factory()()
    signal.set()

    with anyio.fail_after(5):
        assert await wait(signal) == "woken"


async def test_setting_it_after_the_waiter_was_cancelled_says_so() -> None:
    signal = signal_factory()()
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await wait(signal)

    assert signal.set() is False


@pytest.mark.parametrize("set_first", [True, False])
async def test_setting_and_cancelling_at_once_never_disagree(set_first: bool) -> None:
    signal = signal_factory()()
    seen: list[str] = []

    async def waiter(scope: anyio.CancelScope) -> None:
        with scope:
            seen.append(await wait(signal))
            await anyio.lowlevel.checkpoint()
            seen.append("went on")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            tasks.start_soon(waiter, scope)
            await anyio.wait_all_tasks_blocked()
            if set_first:
                promised = signal.set()
                scope.cancel()
            else:
                scope.cancel()
                promised = signal.set()

    assert bool(seen) is promised
    assert "went on" not in seen, "the cancellation was lost"


async def test_a_cancellation_from_outside_anyio_is_delivered_again() -> None:
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        pytest.skip("asyncio's own cancellation")
    signal, seen = FutureSignal(), []

    async def waiter() -> None:
        seen.append(await wait(signal))
        await asyncio.sleep(0)
        seen.append("went on")

    task = asyncio.get_running_loop().create_task(waiter())
    await asyncio.sleep(0)
    signal.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen == ["outlived"]
    assert task.cancelling() == 1


async def test_the_factory_knows_the_event_loop() -> None:
    on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError

    assert isinstance(signal_factory()(), FutureSignal if on_asyncio else EventSignal)
