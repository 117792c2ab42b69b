"""What becomes of WebSockets when `callboard serve` is told to stop."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio
import pytest

from tests.fakes.openai_traffic import Gate, chat_stream
from tests.fakes.server_process import RELAYED, SCRIPTED, WAIT_S, config_file, refused, running
from tests.fakes.socket_client import connected, stream_of, text_in
from tests.fakes.upstream import serve_upstream
from tests.oracles.responses_lifecycle import violations

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the process's own; the test's does not matter."""
    return "asyncio"


def port_of(url: str) -> int:
    """The port in the address that the process printed."""
    return int(url.rstrip("/").rpartition(":")[2])


async def test_idle_sockets_are_closed_and_a_turn_comes_to_its_end_first(tmp_path: Path) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.queue(chat_stream("first", gate, " last"))
        config = config_file(tmp_path, RELAYED.format(base_url=upstream.base_url))
        async with (
            running(config) as (process, url),
            connected(port_of(url)) as idle,
            connected(port_of(url)) as working,
        ):
            with anyio.fail_after(WAIT_S):
                await working.create()
                await gate.reached.wait()
                process.send_signal(signal.SIGTERM)
                assert await idle.ended() == 1001
                assert process.returncode is None
                gate.opened.set()
                events = await working.turn()
                assert await working.ended() == 1001
                assert await process.wait() == 0
    assert violations(stream_of(events)) == []
    assert text_in(events[-1]) == "first last"
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_second_signal_breaks_a_turn_off_and_it_says_so(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED + "[server]\ndrain_seconds = 600\n")
    async with running(config) as (process, url), connected(port_of(url)) as client:
        with anyio.fail_after(WAIT_S):
            await client.create()
            await client.turn()
            await client.create()  # never ends by itself
            while "delta" not in (event := await client.event())["type"]:
                assert "response" in event or "item" in event or "part" in event
            process.send_signal(signal.SIGTERM)
            await refused(port_of(url))
            process.send_signal(signal.SIGTERM)
            last = (await client.turn())[-1]
            await client.ended()
            await process.wait()
    assert last["type"] == "response.failed"
    assert "Traceback" not in (tmp_path / "stderr").read_text()
