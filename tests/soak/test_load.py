"""Load on a server of its own processor: what it adds to each call, and what it does when it is too much.

The load, the upstream and the test share the other processor. So that no processor is what ends first, the
server's capacity is set by its configuration: `PLACES` requests at a time that take `DELAY_S` each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from tests.fakes.load import Load, Shot, in_ms, percentile, post, statuses
from tests.fakes.relayed import chat_body
from tests.soak.mock import mocked
from tests.soak.process import relay_config, running

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
SERVER_CPU, OTHER_CPU = 0, 1
PLACES, QUEUE, DELAY_S = 64, 128, 0.2
CAPACITY = PLACES / DELAY_S
OVERLOAD_S = float(os.environ.get("CALLBOARD_OVERLOAD_S", "60"))
REQUEST = post(chat_body("What is the capital of France?"))
RATE, RATE_S, RUNS = 250, 20, 3


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(autouse=True)
def other_processor() -> Iterator[None]:
    """This process leaves the server's processor alone."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two processors")
    os.sched_setaffinity(0, {OTHER_CPU})
    yield
    os.sched_setaffinity(0, before)


def latencies(shots: Sequence[Shot]) -> list[float]:
    """Of those that were served."""
    return [shot.latency_s for shot in shots if shot.status == 200]


def goodput(shots: Sequence[Shot], seconds: float) -> float:
    """Served a second, among those that came back within the time."""
    return (
        sum(1 for shot in shots if shot.status == 200 and shot.intended_s + shot.latency_s <= seconds)
        / seconds
    )


async def test_it_adds_little_to_a_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added: dict[float, list[float]] = {50: [], 95: [], 99: []}
    async with (
        mocked() as upstream,
        running(
            tmp_path, relay_config(f"http://127.0.0.1:{upstream}/v1"), flags=(), cpu=SERVER_CPU, level="info"
        ) as server,
    ):
        for run in range(RUNS + 1):
            figures = {}
            cpu = server.sample().cpu_s
            for name, port in (("direct", upstream), ("through", server.port)):
                load = Load(port, REQUEST)
                shots = await load.open_loop(RATE, RATE_S if run else 2)
                load.close()
                assert statuses(shots).keys() == {200}
                figures[name] = latencies(shots)
            if run == 0:
                continue  # warm-up
            for share, values in added.items():
                through, direct = (percentile(figures[name], share / 100) for name in ("through", "direct"))
                values.append(through - direct)
            each_us = (server.sample().cpu_s - cpu) / (RATE * RATE_S) * 1e6
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{RATE}/s direct: {in_ms(figures['direct'])}; through: {in_ms(figures['through'])}; "
                    f"the server computes {each_us:.0f} µs a call"
                )
        await server.stop()
    medians = {share: sorted(values)[RUNS // 2] * 1e3 for share, values in added.items()}
    with capsys.disabled():
        sys.stdout.write(f"\nadded, median of {RUNS}: {medians} ms\n")
    assert medians[50] <= 1.5
    assert medians[95] <= 4
    assert medians[99] <= 8


async def test_overload_costs_nobody_his_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = f"max_concurrency = {PLACES}\nqueue = {QUEUE}\n"
    async with mocked(delay_s=DELAY_S) as upstream:
        config = relay_config(f"http://127.0.0.1:{upstream}/v1", server=limits)
        async with running(tmp_path, config, flags=(), cpu=SERVER_CPU, level="info") as server:
            load = Load(server.port, REQUEST)
            saturated = await load.closed_loop(PLACES, 5)
            peak = goodput(saturated, 5)
            idle = await load.open_loop(CAPACITY / 2, 10)
            cpu_before = server.sample().cpu_s
            over = await load.open_loop(4 * CAPACITY, OVERLOAD_S)
            cpu = server.sample().cpu_s - cpu_before
            after = await load.open_loop(CAPACITY / 2, 10)
            load.close()
            await server.stop()
    at_first = latencies([shot for shot in after if shot.intended_s < 2])
    served, refused = latencies(over), [shot.latency_s for shot in over if shot.status == 503]
    late = latencies([shot for shot in after if shot.intended_s >= 2])
    with capsys.disabled():
        sys.stdout.write(
            f"\ncapacity {CAPACITY:.0f}/s, peak {peak:.0f}/s; half: {in_ms(latencies(idle))}\n"
            f"4x for {OVERLOAD_S:.0f} s: {goodput(over, OVERLOAD_S):.0f}/s, {statuses(over)}, "
            f"served {in_ms(served)}, refused {in_ms(refused)}; CPU {cpu / OVERLOAD_S:.0%} of a core\n"
            f"half again: {statuses(after)}, first 2 s {in_ms(at_first)}, then {in_ms(late)}\n"
        )
    assert all(shot.fair for shot in (*saturated, *idle, *over, *after))
    assert goodput(over, OVERLOAD_S) >= 0.9 * peak
    queue_s = QUEUE / CAPACITY
    assert percentile(served, 0.99) <= 3 * percentile(latencies(idle), 0.99) + queue_s
    assert percentile(refused, 0.99) <= 0.02
    # The first two seconds may still see the line that the overload left.
    assert all(shot.status == 200 for shot in after if shot.intended_s >= 2)
    assert percentile(late, 0.99) <= 1.5 * percentile(latencies(idle), 0.99)


async def test_it_is_normal_again_after_a_short_overload(tmp_path: Path) -> None:
    """The same without figures, as a check that can be run often."""
    limits = "max_concurrency = 8\nqueue = 16\n"
    async with mocked(delay_s=0.05) as upstream:
        config = relay_config(f"http://127.0.0.1:{upstream}/v1", server=limits)
        async with running(tmp_path, config, flags=(), cpu=SERVER_CPU, level="info") as server:
            load = Load(server.port, REQUEST)
            over = await load.open_loop(4 * 160, 10)
            after = await load.open_loop(80, 5)
            load.close()
            with anyio.fail_after(10):
                await server.stop()
    assert all(shot.fair for shot in (*over, *after))
    assert statuses(over).keys() == {200, 503}
    assert all(shot.status == 200 for shot in after if shot.intended_s >= 2)
