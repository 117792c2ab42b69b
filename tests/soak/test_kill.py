"""A server that is killed anywhere in turns of three tools: nothing is lost, or done or told twice."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from tests.soak.kill_session import Session
from tests.soak.kill_upstream import modelled

pytestmark = pytest.mark.anyio
LONGEST_S = 0.4
POINTS = ("pay:before", "pay:after", "1:before", "1:after", "3:before", "6:after", "9:before", "12:after")
"""Named points of a normal run; the long run has every commit of a turn."""
RANDOM_KILLS = 5
MANY = 200


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


async def kill_at_random(session: Session, after_s: float) -> None:
    async with session.life() as (process, client), anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: session.ask(client, count=3, foreground=1))
        await anyio.sleep(after_s)
        process.kill()


async def die_at(session: Session, point: str) -> None:
    """One life that ends at a point of its own; where it does not come there, when all is done."""
    async with session.life(die=point) as (_, client):
        await session.ask(client, foreground=1)


async def session_of(folder: Path, points: Sequence[str], delays_s: Sequence[float]) -> Session:
    async with modelled() as (model, port):
        session = Session(folder, model, port)
        for point in points:
            await die_at(session, point)
        for delay_s in delays_s:
            await kill_at_random(session, delay_s)
        async with session.life() as (_, client):
            with anyio.fail_after(60):
                await session.settle(client)
    return session


async def test_a_server_killed_anywhere_goes_on_where_it_was(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    delays_s = [chance.uniform(0, LONGEST_S) for _ in range(RANDOM_KILLS)]
    with anyio.fail_after(60):
        session = await session_of(tmp_path, POINTS, delays_s)
    assert len(session.known) >= len(POINTS) // 2


async def test_a_server_that_is_told_to_stop_leaves_what_is_in_the_background_to_the_next(
    tmp_path: Path,
) -> None:
    async with modelled() as (model, port):
        session = Session(tmp_path, model, port)
        with anyio.fail_after(30):
            async with session.life() as (process, client), anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: session.ask(client, count=6))
                while len(session.known) < 3:
                    await anyio.sleep(0.001)
                await stop(process)
            assert len(session.known) >= 3
            async with session.life() as (process, client):
                await session.settle(client)
                await stop(process)


async def stop(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    with anyio.fail_after(5):
        assert await process.wait() == 0


@pytest.mark.soak
async def test_two_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    points = [f"{number}:{side}" for number in range(1, 25) for side in ("before", "after")]
    points += ["pay:before", "pay:after"]
    since = time.perf_counter()
    kills = 0
    while kills < MANY:
        folder = tmp_path / str(kills)
        folder.mkdir()
        named = chance.sample(points, 12)
        delays_s = [chance.uniform(0, LONGEST_S) for _ in range(28)]
        session = await session_of(folder, named, delays_s)
        kills += len(named) + len(delays_s)
        with capsys.disabled():
            sys.stdout.write(
                f"\nseed {seed}: {kills} kills, {len(session.known)} responses,"
                f" {time.perf_counter() - since:.0f} s\n"
            )
