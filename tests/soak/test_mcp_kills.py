"""MCP servers killed, hung up, flooded and upgraded in every phase, hundreds of times."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import anyio
import pytest

from callboard.domain.observation import ToolSourceUp
from callboard.tools.mcp.session import open_session
from tests.actors.test_tool_host import Seen, hosting
from tests.fakes.mcp_servers import Heard, children, raw, until
from tests.fakes.sampler import rss_bytes

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

KILLS = 500
CONNECTS = 1000


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The one that serves."""
    return request.param


def descriptors() -> int:
    """How many of this process are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def strike(seen: Seen, chance: random.Random) -> None:
    """Bring ``victim`` down in some phase of a call, and see the call fail within a second."""
    how = chance.choice(["idle", "call", "die", "line", "cancelled"])
    with anyio.fail_after(1):
        pid = int(await seen.text("victim__pid"))
        if how in {"die", "line"}:
            name = "victim__die" if how == "die" else "victim__flood"
            assert (await seen.run(name, what="line")).is_error
            return
        async with anyio.create_task_group() as tasks:
            if how != "idle":
                tasks.start_soon(seen.run, "victim__hang")
                await anyio.sleep(chance.random() / 100)
            os.kill(pid, signal.SIGKILL)
            if how == "cancelled":
                tasks.cancel_scope.cancel()


async def test_a_victim_comes_back_every_time_and_nobody_else_notices() -> None:
    chance = random.Random(1)
    async with hosting(raw(name="victim"), raw(name="other"), longest_retry_s=0.2) as seen:
        await seen.up("victim", "other")
        other = await seen.text("other__pid")
        for number in range(KILLS):
            await strike(seen, chance)
            with anyio.fail_after(5):
                ups = number + 3
                while sum(isinstance(each, ToolSourceUp) for each in seen.told) < ups:
                    assert json.loads(await seen.text("other__echo", n=number)) == {"n": number}
                    await anyio.sleep(0.02)
        assert await seen.text("other__pid") == other
        assert seen.broken == []
        assert len(children()) == 2


async def test_memory_and_descriptors_stay_as_they_are_over_many_connections() -> None:
    async def connect(times: int) -> None:
        for _ in range(times):
            with anyio.fail_after(5):
                async with open_session(raw(), Heard().desk()) as session:
                    await session.tools()

    await connect(100)
    before, open_before = rss_bytes(os.getpid()), descriptors()
    await connect(CONNECTS)
    assert descriptors() == open_before
    assert rss_bytes(os.getpid()) - before < 8 * 1024 * 1024
    with anyio.fail_after(5):
        await until(lambda: not children())
