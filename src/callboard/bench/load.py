"""Putting a target under load: long-lived workers, no task per request.

**Closed loop.** N workers, each of which asks again as soon as it was answered.

**Open loop.** One task, the pacer, walks along the schedule and wakes an idle worker for each request that is
due. Where none is idle it starts one, up to the bound of what may be in flight; beyond that the request
counts as ``not_sent``. The worker that was idle last goes first, so there are no more workers, and no more
connections, than were ever needed at once.

A timer of an event loop is a millisecond coarse, many times what a fast target takes to answer. So the pacer
spends the last two milliseconds before a start asking for the time, between turns of the event loop; the
loader therefore wants a core of its own. How late it was all the same is measured (`Tally.lag`) and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice, takewhile
from sys import maxsize
from time import perf_counter_ns
from typing import TypeAlias

import anyio

from callboard.bench.arrivals import arrivals
from callboard.bench.attempt import Call, attempt
from callboard.bench.plan import ClosedLoop, Load, OpenLoop, Window
from callboard.bench.tally import Tally
from callboard.transport.http import HttpClient

_Due: TypeAlias = tuple[int, Tally]
"""When a request is due, and where it is counted."""

_SECOND = 1_000_000_000
_COARSE_NS = 2_000_000
_LEAD_NS = 5_000_000  # between making the schedule and its first request


async def press(load: Load, window: Window, client: HttpClient, calls: Sequence[Call], tally: Tally) -> None:
    """Put a target under load for one window, until the last answer is read.

    Args:
        load: Open or closed loop.
        window: When to begin to count, and when to stop asking.
        client: Must allow as many connections as the load may need.
        calls: Sent in turn, over and over.
        tally: Filled as answers come. It is complete as far as it goes when this is cancelled.
    """
    if isinstance(load, ClosedLoop):
        await _Closed(window, client, calls, tally).run(load.concurrency)
    else:
        await _Open(load, client, calls).run(_schedule(load, window, tally))


def workers_of(load: Load) -> int:
    """How many requests a load may have in flight."""
    return load.concurrency if isinstance(load, ClosedLoop) else load.max_in_flight


class _Closed:
    """The closed loop's workers."""

    def __init__(self, window: Window, client: HttpClient, calls: Sequence[Call], tally: Tally) -> None:
        self._client = client
        self._calls = cycle(calls)
        self._tally = tally
        tally.began_ns = perf_counter_ns() + round(window.warmup_s * _SECOND)
        self._until_ns = maxsize
        if window.duration_s is not None:
            self._until_ns = tally.began_ns + round(window.duration_s * _SECOND)
        self._left = maxsize if window.count is None else window.count

    async def run(self, workers: int) -> None:
        """Run so many workers until the window is over."""
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(self._worker)

    async def _worker(self) -> None:
        """Ask, read, ask again."""
        while (now := perf_counter_ns()) < self._tally.began_ns:
            await attempt(self._client, next(self._calls), now)
        first_ns = ended_ns = 0
        try:
            while self._left and (now := perf_counter_ns()) < self._until_ns:
                self._left -= 1
                outcome = await attempt(self._client, next(self._calls), now)
                self._tally.add(outcome)
                first_ns = first_ns or now
                ended_ns = outcome.ended_ns
        finally:
            if first_ns:
                self._tally.workers += 1
                self._tally.busy_ns += ended_ns - first_ns


class _Turn:
    """An idle worker's place in the queue: what it is to do, and the event that wakes it."""

    __slots__ = ("due", "given")

    def __init__(self) -> None:
        self.due: _Due | None = None
        self.given = anyio.Event()


class _Open:
    """The open loop's pacer and its workers."""

    def __init__(self, load: OpenLoop, client: HttpClient, calls: Sequence[Call]) -> None:
        self._load = load
        self._client = client
        self._calls = cycle(calls)
        self._idle: list[_Turn] = []
        self._over = False

    async def run(self, schedule: Iterator[_Due]) -> None:
        """Pace the schedule, then wait for the answers that are still out."""
        workers = 0
        async with anyio.create_task_group() as tasks:
            for due in schedule:
                await _wait_until(due[0])
                if self._idle:
                    turn = self._idle.pop()
                    turn.due = due
                    turn.given.set()
                elif workers < self._load.max_in_flight:
                    workers += 1
                    tasks.start_soon(self._worker, due)
                else:
                    due[1].skip()
            self._over = True
            for turn in self._idle:
                turn.given.set()

    async def _worker(self, due: _Due | None) -> None:
        """Send, read, queue up."""
        while due is not None:
            due_ns, tally = due
            tally.add(await attempt(self._client, next(self._calls), due_ns))
            if self._over:
                return
            turn = _Turn()
            self._idle.append(turn)
            await turn.given.wait()
            due = turn.due


def window_s(load: OpenLoop, window: Window) -> float:
    """How long an open loop's window is; one that is counted ends when one more request would be due."""
    if window.duration_s is not None:
        return window.duration_s
    assert window.count is not None  # noqa: S101 - a window has one of the two
    return next(islice(arrivals(load.arrivals, load.rate, load.seed), window.count, None))


def _schedule(load: OpenLoop, window: Window, tally: Tally) -> Iterator[_Due]:
    """When requests are due, and where each is counted; those of the warm-up in a tally that nobody reads.

    The warm-up has arrivals of its own, so that what is measured does not depend on its length.
    """
    begin_ns = perf_counter_ns() + _LEAD_NS
    tally.began_ns = begin_ns + round(window.warmup_s * _SECOND)
    tally.horizon_ns = tally.began_ns + round(window_s(load, window) * _SECOND)
    for from_ns, to_ns, counted in (
        (begin_ns, tally.began_ns, Tally()),
        (tally.began_ns, tally.horizon_ns, tally),
    ):
        due = (from_ns + round(at * _SECOND) for at in arrivals(load.arrivals, load.rate, load.seed))
        for due_ns in takewhile(to_ns.__gt__, due):
            yield due_ns, counted


async def _wait_until(at_ns: int) -> None:
    """Wait until a moment, to the microsecond."""
    while (left_ns := at_ns - perf_counter_ns()) > 0:  # noqa: ASYNC110 - only a clock can say
        await anyio.sleep(max(0, left_ns - _COARSE_NS) / _SECOND)
