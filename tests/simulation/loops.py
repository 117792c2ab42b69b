"""Event loops that repeat themselves: virtual time, and on trio a seeded scheduler."""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import trio
import trio.testing
from trio._core import _run as trio_run

T = TypeVar("T")


class JumpingSelector(selectors.DefaultSelector):
    """Where asyncio would sleep, the clock jumps. Nothing in a simulation waits for a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("every task waits and no timer is set: a deadlock")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time. Its scheduling is deterministic as it stands."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@contextmanager
def seeded_trio(seed: int) -> Iterator[None]:
    """Make trio's scheduler draw from ``seed``; the switches are those that Hypothesis's trio plugin uses."""
    before, state = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc] # Final, yet documented as a switch
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc] # as above
        trio_run._r.setstate(state)


def jumping_clock() -> trio.testing.MockClock:
    """Make a clock that jumps where trio would sleep, and fails where it would sleep for ever."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    jump = clock._autojump

    def jump_or_fail() -> None:
        if math.isinf(trio.lowlevel.current_statistics().seconds_to_next_deadline):
            raise AssertionError("every task waits and no timer is set: a deadlock")
        jump()

    # No cancellation could end a run in which a shielded task waits for nothing.
    clock._autojump = jump_or_fail  # type: ignore[method-assign]
    return clock


def run_on_trio(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Run ``main`` in virtual time under the scheduler's seed."""
    with seeded_trio(seed):
        return anyio.run(main, backend="trio", backend_options={"clock": jumping_clock()})


def run_on_asyncio(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Run ``main`` in virtual time; the seed has nothing to decide here."""
    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": VirtualLoop})
