"""Several processes over one store: whoever works on a response, each can show it, end it and take it up."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from tests.cli.test_workers import children_of
from tests.fakes.server_process import client_of, config_file, running
from tests.soak.kill_session import Known, faults_in, read_into

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
CONFIG = """
[providers.demo]
kind = "scripted"
script.then = "repeat"
[[providers.demo.script.replies]]
steps = [{{ do = "text", text = "{text}", pause_s = 0.02 }}]
[models.demo-model]
provider = "demo"
[store]
url = "sqlite:///state.db"
"""
BODY = {"model": "demo-model", "input": "hi", "background": True}
FOLLOWERS = 8


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


def config(folder: Path) -> Path:
    return config_file(folder, CONFIG.format(text="word " * 40))


async def begun(url: str) -> Known:
    async with client_of(url) as client:
        answer = await client.post("v1/responses", json=BODY)
        assert answer.status_code == 200, answer.text
        return Known(answer.json()["id"], "")


async def follow(url: str, known: Known) -> None:
    """Read on, over a connection of its own: it may come to any of the workers."""
    after = f"&starting_after={known.last}" if known.seen else ""
    async with client_of(url) as client:
        await read_into(known, client, "GET", f"v1/responses/{known.id}?stream=true{after}")


async def test_whichever_worker_is_asked_the_stream_is_the_same(tmp_path: Path) -> None:
    async with running(config(tmp_path), "--workers", "2") as (_, url):
        with anyio.fail_after(20):
            known = await begun(url)
            each = [Known(known.id, "") for _ in range(FOLLOWERS)]
            async with anyio.create_task_group() as tasks:
                for follower in each:
                    tasks.start_soon(follow, url, follower)
    assert {follower.seen for follower in each} == {each[0].seen}
    assert each[0].over
    assert faults_in(each[0].seen) == []


async def test_whichever_worker_is_asked_it_cancels(tmp_path: Path) -> None:
    async with running(config(tmp_path), "--workers", "2") as (_, url):
        with anyio.fail_after(20):
            for _ in range(FOLLOWERS // 2):
                known = await begun(url)
                async with client_of(url) as client:
                    answer = await client.post(f"v1/responses/{known.id}/cancel")
                assert answer.json()["status"] == "cancelled"
                await follow(url, known)
                assert b'"status":"cancelled"' in known.seen.splitlines()[-4]


async def test_a_response_goes_on_when_the_worker_that_made_it_is_killed(tmp_path: Path) -> None:
    async with running(config(tmp_path), "--workers", "2") as (process, url):
        with anyio.fail_after(40):
            all_known = [await begun(url) for _ in range(4)]
            for worker in sorted(children_of(process.pid)):
                os.kill(worker, signal.SIGKILL)
            for known in all_known:
                while not known.over:
                    await follow(url, known)
                assert faults_in(known.seen) == []
                assert b"response.completed" in known.seen
                again = Known(known.id, "")
                await follow(url, again)
                assert again.seen == known.seen
