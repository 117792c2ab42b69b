"""`callboard serve --workers N`: several processes, one port, one way to stop."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.fakes.server_process import SCRIPTED, WAIT_S, client_of, config_file, running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the processes' own."""
    return "asyncio"


def children_of(pid: int) -> set[int]:
    """The living child processes of ``pid``."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except FileNotFoundError:
        return set()


def alive(pid: int) -> bool:
    """Whether ``pid`` runs: one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def healthy(client: httpx2.AsyncClient) -> bool:
    """Whether a fresh connection is served."""
    answer = await client.get("health", headers={"connection": "close"})
    return answer.status_code == 200


async def test_all_workers_answer_and_all_end_on_a_signal(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    async with running(config, "--workers", "2") as (process, url), client_of(url) as client:
        workers = children_of(process.pid)
        assert len(workers) == 2
        for _ in range(20):
            assert await healthy(client)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(WAIT_S):
            assert await process.wait() == 0
        assert not any(alive(pid) for pid in workers)
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_worker_that_crashes_is_started_again(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    async with running(config, "--workers", "2") as (process, url), client_of(url) as client:
        before = children_of(process.pid)
        os.kill(min(before), signal.SIGKILL)
        with anyio.fail_after(WAIT_S):
            while len(children_of(process.pid) - {min(before)}) < 2:
                await anyio.lowlevel.checkpoint()
        assert max(before) in children_of(process.pid)
        for _ in range(10):
            assert await healthy(client)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(WAIT_S):
            assert await process.wait() == 0
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert any('msg="actor crashed" path=server/worker:' in line for line in lines)


async def test_workers_whose_parent_is_gone_stop_by_themselves(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    async with running(config, "--workers", "2") as (process, _):
        workers = children_of(process.pid)
        process.kill()
        with anyio.fail_after(WAIT_S):
            while any(alive(pid) for pid in workers):
                await anyio.lowlevel.checkpoint()


async def test_a_worker_that_cannot_start_is_one_line_and_an_exit_status(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "callboard.cli.main", "serve", "--workers", "0"]
    with anyio.fail_after(WAIT_S):
        ended = await anyio.run_process(command, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.decode().splitlines()) == 1
