"""callboard.kernel.signal: both sides agree whether a wake-up was seen."""

import asyncio
from typing import Any

import anyio
import pytest

from callboard.kernel.signal import EventSignals, FutureSignals, Signal, Signals, choose_clock, choose_signals

pytestmark = pytest.mark.anyio


async def wait(signals: Signals[Any], signal: Signal) -> str:
    try:
        await signal
    except BaseException as cancellation:
        if signals.outlives(signal, cancellation):
            return "outlived"
        raise
    return "woken"


async def test_the_waiter_wakes_once_it_is_set() -> None:
    signals, woken = choose_signals(), []
    signal = signals.new()

    async def waiter() -> None:
        woken.append(await wait(signals, signal))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            assert signals.set(signal) is True

    assert woken == ["woken"]


async def test_setting_it_before_the_wait_is_not_lost() -> None:
    signals = choose_signals()
    signal = signals.new()
    signals.set(signal)

    with anyio.fail_after(5):
        assert await wait(signals, signal) == "woken"


async def test_setting_it_after_the_waiter_was_cancelled_says_so() -> None:
    signals = choose_signals()
    signal = signals.new()
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await wait(signals, signal)

    assert signals.set(signal) is False


@pytest.mark.parametrize("set_first", [True, False])
async def test_setting_and_cancelling_at_once_never_disagree(set_first: bool) -> None:
    signals = choose_signals()
    signal = signals.new()
    seen: list[str] = []

    async def waiter(scope: anyio.CancelScope) -> None:
        with scope:
            seen.append(await wait(signals, signal))
            await anyio.lowlevel.checkpoint()
            seen.append("went on")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            tasks.start_soon(waiter, scope)
            await anyio.wait_all_tasks_blocked()
            if set_first:
                promised = signals.set(signal)
                scope.cancel()
            else:
                scope.cancel()
                promised = signals.set(signal)

    assert bool(seen) is promised
    assert "went on" not in seen, "the cancellation was lost"


async def test_a_cancellation_from_outside_anyio_is_delivered_again() -> None:
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        pytest.skip("asyncio's own cancellation")
    signals, seen = FutureSignals(), []
    signal = signals.new()

    async def waiter() -> None:
        seen.append(await wait(signals, signal))
        await asyncio.sleep(0)
        seen.append("went on")

    task = asyncio.get_running_loop().create_task(waiter())
    await asyncio.sleep(0)
    signals.set(signal)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen == ["outlived"]
    assert task.cancelling() == 1


async def test_the_choice_follows_the_event_loop() -> None:
    on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError

    assert isinstance(choose_signals(), FutureSignals if on_asyncio else EventSignals)


async def test_the_clock_is_the_event_loops() -> None:
    clock = choose_clock()
    before = clock()
    between = anyio.current_time()

    assert before <= between <= clock()
