"""A hundred who follow responses of which nothing comes: the server is as idle as without them."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx2
import pytest

from tests.fakes.openai_traffic import Gate, chat_stream
from tests.fakes.upstream import serve_upstream
from tests.soak.process import relay_config, running

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
FOLLOWERS = 100
QUIET_S = 30
MOST = 0.01
"""Of one core."""


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


async def test_a_hundred_idle_followers_cost_less_than_a_hundredth_of_a_core(tmp_path: Path) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.fallback = lambda _: chat_stream("first ", gate, "last")
        config = relay_config(upstream.base_url, provider="timeouts = { idle_s = 300 }")
        config += f'\n[store]\nurl = "sqlite:///{tmp_path}/state.db"\n'
        # As it is run, without the checks of development: they are not what is measured.
        async with running(tmp_path, config, flags=()) as server:
            url = f"http://127.0.0.1:{server.port}"
            limits = httpx2.Limits(max_connections=2 * FOLLOWERS)
            async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as client:
                body = {"model": "demo-model", "input": "hi", "background": True}
                begun = (await client.post("/v1/responses", json=body)).json()["id"]
                reading = 0
                ends: list[bytes] = []

                async def follow() -> None:
                    nonlocal reading
                    seen = b""
                    async with client.stream("GET", f"/v1/responses/{begun}?stream=true") as answer:
                        async for piece in answer.aiter_raw():
                            reading += b"first" in piece
                            seen += piece
                    ends.append(seen)

                with anyio.fail_after(3 * QUIET_S):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(FOLLOWERS):
                            tasks.start_soon(follow)
                        while reading < FOLLOWERS:
                            await anyio.sleep(0.01)
                        await anyio.sleep(QUIET_S / 3)
                        cpu = server.sample().cpu_s
                        await anyio.sleep(QUIET_S)  # this is the measurement
                        idle = (server.sample().cpu_s - cpu) / QUIET_S
                        gate.opened.set()
            assert len(set(ends)) == 1
            assert ends[0].endswith(b"data: [DONE]\n\n")
            assert idle <= MOST, idle
            await server.stop()
