"""A real server under mixed traffic: afterwards nothing is left, and every account is right."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.fakes.sampler import Sample, slope, until
from tests.fakes.upstream import serve_upstream
from tests.soak.mix import PROVIDER, SERVER, Mix
from tests.soak.process import PATHS, Running, relay_config, running

pytestmark = pytest.mark.anyio
SETTLE_S = 30
SHORT, LONG = 750, int(os.environ.get("CALLBOARD_SOAK_REQUESTS", "100000"))
CLIENTS = 32
WARM_UP = 150
MIB = 1 << 20
QUIET_S = 60
WINDOWS = 20
"""Memory is looked at so often, each time at rest: under load it is what the load needs just then."""

MOST_BYTES = 1024
"""What a thousand requests may leave behind. The system hands memory out by the MiB, so one more in all says
nothing; `test_memory.py` counts in pieces what is smaller."""

each_path = pytest.mark.parametrize("path", list(PATHS))


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the process's own."""
    return ("asyncio", {"use_uvloop": True})


def held(sampled: Sample, upstream_port: int) -> tuple[int, int, int, int]:
    """What must be back where it was: descriptors but kept connections, threads, children, half-closed."""
    fds = sampled.fds - sampled.connected_to(upstream_port)
    return fds, sampled.threads, sampled.children, sampled.sockets_in("CLOSE_WAIT")


async def settled(server: Running, upstream_port: int, before: tuple[int, int, int, int]) -> Sample:
    """Everything is back; fails with what is not."""
    found = await until(server.process.pid, lambda now: held(now, upstream_port) <= before, within_s=SETTLE_S)
    now = held(found, upstream_port)
    assert all(a <= b for a, b in zip(now, before, strict=True)), (now, before, found)
    return found


async def log_is_whole(server: Running, mix: Mix) -> None:
    """Waits until each request that got in has its line."""
    with anyio.fail_after(SETTLE_S):
        while server.closing_lines() < len(mix.through):
            await anyio.sleep(0.1)


def check_accounts(server: Running, mix: Mix) -> Counter[str]:
    """One closing line for each request; the ledger is the upstream's bill. Returns what else was logged."""
    closed: Counter[str] = Counter()
    told: dict[str, list[tuple[int, int]]] = {}
    others: Counter[str] = Counter()
    for line in server.lines():
        request_id = line.get("request_id", "")
        if line["msg"] == "request closed":
            closed[request_id] += 1
        elif line["msg"] == "attempt settled":
            if line["basis"] == "reported":
                told.setdefault(request_id, []).append((int(line["tokens_in"]), int(line["tokens_out"])))
        elif line["level"] in ("WARN", "ERROR"):
            others[" ".join((line["msg"], line.get("error_type", line.get("text", ""))))] += 1
    assert set(closed.values()) <= {1}, [name for name, count in closed.items() if count > 1][:10]
    assert mix.through <= set(closed), sorted(mix.through - set(closed))[:10]
    assert set(closed) <= mix.through | mix.perhaps, sorted(set(closed) - mix.through - mix.perhaps)[:10]
    assert told == mix.bill
    return others


@each_path
async def test_mixed_traffic_leaves_nothing_behind(path: str, tmp_path: Path) -> None:
    async with serve_upstream() as upstream:
        config = relay_config(upstream.base_url, server=SERVER, provider=PROVIDER)
        async with running(tmp_path, config, start=PATHS[path]) as server:
            before = held(server.sample(), upstream.port)
            mix = Mix(server.port, upstream, seed=2026, tools=path == "actors")
            with anyio.fail_after(60):
                await mix.run(WARM_UP, CLIENTS)
                warm = await settled(server, upstream.port, before)
                await mix.run(SHORT - WARM_UP, CLIENTS)
            assert mix.unfair == []
            assert mix.late == 0
            after = await settled(server, upstream.port, before)
            assert after.rss_bytes <= warm.rss_bytes + 16 * MIB
            await log_is_whole(server, mix)
            others = check_accounts(server, mix)
            assert not any(name.startswith(("unexpected", "work failed", "actor")) for name in others), others
            await server.stop()


@pytest.mark.soak
@each_path
async def test_a_hundred_thousand_mixed_requests_leave_nothing_behind(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points: list[tuple[float, float]] = []
    async with serve_upstream() as upstream:
        config = relay_config(upstream.base_url, server=SERVER, provider=PROVIDER)
        async with running(tmp_path, config, start=PATHS[path]) as server:
            before = held(server.sample(), upstream.port)
            mix = Mix(server.port, upstream, seed=2026, tools=path == "actors")
            since = time.perf_counter()
            for _ in range(WINDOWS):
                await mix.run(LONG // WINDOWS, 2 * CLIENTS)
                after = await settled(server, upstream.port, before)
                points.append((mix.done, after.rss_bytes))
            took = time.perf_counter() - since
            cpu = server.sample().cpu_s
            await anyio.sleep(QUIET_S)  # this is the measurement
            idle = (server.sample().cpu_s - cpu) / QUIET_S
            (tmp_path / "rss").write_text("\n".join(f"{done:.0f} {rss:.0f}" for done, rss in points))
            growth = slope(points[WINDOWS // 2 :]) * 1000
            await log_is_whole(server, mix)
            others = check_accounts(server, mix)
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{path}: {LONG} requests in {took:.0f} s, RSS {points[0][1] / MIB:.1f} → "
                    f"{after.rss_bytes / MIB:.1f} MiB, {growth:.0f} bytes a 1,000 requests after warm-up; "
                    f"fds, threads, children, CLOSE_WAIT {before} → {held(after, upstream.port)}; "
                    f"idle CPU {idle:.2%}; late {mix.late}; {dict(others)}; ends {sorted(mix.ends.items())}\n"
                )
            assert mix.unfair == []
            assert mix.late <= LONG / 10_000
            assert growth <= MOST_BYTES + MIB / (LONG / 2 / 1000)
            assert idle <= 0.01
            await server.stop()
