"""Closed and open loops against real servers."""

from __future__ import annotations

import anyio
import pytest

from callboard.bench.load import press
from callboard.bench.plan import Arrivals, ClosedLoop, Load, OpenLoop, Window
from callboard.bench.tally import Tally
from tests.bench.target import GOOD, Stalling, answering_in_turn, call, client, silent
from tests.fakes.http_server import HttpServer, Peer, Script, answering, serve

pytestmark = pytest.mark.anyio

RATE = 200.0
COUNT = 150
STALL_S = 0.2


async def pressed(
    script: Script, load: Load, window: Window, *, timeout_s: float = 5.0
) -> tuple[Tally, HttpServer]:
    tally = Tally()
    with anyio.fail_after(15):
        async with serve(script) as server, client() as sender:
            await press(load, window, sender, [call(server.url, timeout_s=timeout_s)], tally)
    return tally, server


async def test_an_open_loop_shows_a_stall_to_everyone_who_would_have_waited() -> None:
    target = Stalling(after=50, stall_s=STALL_S)
    tally, _ = await pressed(target.script, OpenLoop(rate=RATE), Window(count=COUNT))
    assert tally.succeeded == COUNT
    # The request that met the stall's beginning waited for all of it, and each later one, due 5 ms after
    # the one before, for 5 ms less. Of 150 the 1 % slowest are two, the 10 % slowest fifteen.
    assert tally.latency.max >= STALL_S * 1e9
    assert tally.latency.percentile(99) >= (STALL_S - 2 / RATE) * 1e9
    assert tally.latency.percentile(90) >= (STALL_S - 16 / RATE) * 1e9


async def test_a_closed_loop_hides_the_same_stall() -> None:
    target = Stalling(after=50, stall_s=STALL_S)
    tally, _ = await pressed(target.script, ClosedLoop(concurrency=1), Window(count=COUNT))
    assert tally.succeeded == COUNT
    assert tally.latency.max >= STALL_S * 1e9
    # Its only caller waited and asked nothing meanwhile: one request of 150 knows, and the 99th
    # percentile does not. That is coordinated omission.
    assert target.stalled == 1


async def test_a_closed_loop_has_no_more_requests_in_flight_than_callers() -> None:
    tally, server = await pressed(answering(GOOD), ClosedLoop(concurrency=3), Window(count=30))
    assert tally.succeeded == len(server.requests) == 30
    assert server.most_open <= 3
    assert tally.workers <= 3
    assert tally.busy_ns >= tally.latency.total


async def test_what_is_due_beyond_the_bound_is_counted_as_not_sent() -> None:
    load = OpenLoop(rate=1000.0, max_in_flight=3)
    tally, server = await pressed(silent, load, Window(count=10), timeout_s=0.5)
    assert tally.errors == {"upstream_timeout": 3, "not_sent": 7}
    assert len(server.requests) == 3


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
async def test_an_open_loop_sends_so_many_requests_as_were_asked_for(arrivals: Arrivals) -> None:
    load = OpenLoop(rate=500.0, arrivals=arrivals, seed=3)
    tally, server = await pressed(answering(GOOD), load, Window(count=25))
    assert tally.succeeded == len(server.requests) == 25


async def test_an_open_loop_is_never_early() -> None:
    tally, _ = await pressed(answering(GOOD), OpenLoop(rate=500.0), Window(count=25))
    assert tally.lag.count == 25
    assert tally.lag.min >= 0
    # The last of 25 is due 24 pauses after the first.
    assert tally.last_end_ns - tally.began_ns >= 24 / 500 * 1e9


async def test_a_closed_loop_ends_with_its_time() -> None:
    tally, server = await pressed(answering(GOOD), ClosedLoop(concurrency=2), Window(duration_s=0.05))
    assert tally.succeeded == len(server.requests) >= 2
    # Each caller asked again until the time was over.
    assert tally.last_end_ns - tally.began_ns >= 50_000_000


async def test_an_open_loop_ends_with_its_time() -> None:
    tally, _ = await pressed(answering(GOOD), OpenLoop(rate=100.0), Window(duration_s=0.1))
    assert tally.succeeded + tally.failed == 10
    assert tally.horizon_ns - tally.began_ns == 100_000_000


@pytest.mark.parametrize("load", [ClosedLoop(concurrency=2), OpenLoop(rate=100.0)])
async def test_the_warm_up_is_not_counted(load: Load) -> None:
    tally, server = await pressed(answering(GOOD), load, Window(warmup_s=0.2, count=5))
    assert tally.succeeded == 5
    assert len(server.requests) > 5


async def test_failures_are_counted_by_type_and_the_loop_goes_on() -> None:
    bad = GOOD.replace(b"200 OK", b"503 Full")
    tally, _ = await pressed(
        answering_in_turn([GOOD, bad, bad, GOOD]), ClosedLoop(concurrency=1), Window(count=6)
    )
    assert tally.errors == {"http_503": 2}
    assert tally.succeeded == tally.latency.count == 4


async def test_payloads_are_sent_in_turn() -> None:
    with anyio.fail_after(5):
        async with serve(answering(GOOD)) as server, client() as sender:
            calls = [call(server.url + path) for path in ("a", "b")]
            await press(ClosedLoop(concurrency=1), Window(count=3), sender, calls, Tally())
    targets = [request.line.split()[1] for request in server.requests]
    assert targets == [b"/a", b"/b", b"/a"]


@pytest.mark.parametrize("load", [ClosedLoop(concurrency=1), OpenLoop(rate=100.0)])
async def test_a_cancelled_load_keeps_what_it_has_measured(load: Load) -> None:
    fourth = anyio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if len(server.requests) >= 4:
                fourth.set()
                await peer.until_closed()
                return
            await peer.send(GOOD)

    tally = Tally()
    with anyio.fail_after(5):
        async with serve(script) as server, client() as sender, anyio.create_task_group() as tasks:
            tasks.start_soon(press, load, Window(count=50), sender, [call(server.url)], tally)
            await fourth.wait()
            tasks.cancel_scope.cancel()
    assert tally.succeeded == 3
    assert tally.failed == 0
