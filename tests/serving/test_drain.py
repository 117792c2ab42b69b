"""`callboard serve` as a process: it says where it listens, answers, and stops the way it promises."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.fakes.openai_traffic import Gate, chat_stream
from tests.fakes.relayed import chat_body
from tests.fakes.upstream import serve_upstream

pytestmark = pytest.mark.anyio
WAIT_S = 10
"""Bounds every wait; a process takes a second to start on a busy machine."""

SCRIPTED = """
[providers.demo]
kind = "scripted"
[[providers.demo.script.replies]]
steps = [{ do = "text", text = "Hello from the script." }]
[[providers.demo.script.replies]]
steps = [{ do = "text", text = "first " }, { do = "hold", gate = "never" }]
[models.demo-model]
provider = "demo"
"""
RELAYED = """
[providers.up]
kind = "openai"
base_url = "{base_url}"
[models.demo-model]
provider = "up"
"""


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the process's own; the test's does not matter."""
    return "asyncio"


def command(config: Path, port: int = 0) -> list[str]:
    """How the server is started."""
    return [
        *(sys.executable, "-m", "callboard.cli.main", "serve"),
        *("--port", str(port), "--config", str(config)),
    ]


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[tuple[Process, str]]:
    """The server as a process of its own, and the address that it prints; killed where it does not end."""
    with (config.parent / "stderr").open("wb") as errors:
        process = await anyio.open_process(command(config), stdout=subprocess.PIPE, stderr=errors)
    async with process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(WAIT_S):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b" (", 500)
            said, _, url = line.decode().rpartition(" ")
            assert said == "Callboard is running on"
            yield process, url
        finally:
            if process.returncode is None:
                process.kill()


def config_file(folder: Path, text: str) -> Path:
    """``text`` as a configuration file."""
    path = folder / "callboard.toml"
    path.write_text(text)
    return path


def client_of(url: str) -> httpx2.AsyncClient:
    """A client that talks to the process."""
    return httpx2.AsyncClient(base_url=url, trust_env=False, timeout=WAIT_S)


async def refused(port: int) -> None:
    """Returns when nobody listens on ``port`` any more."""
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            return
        await stream.aclose()


async def test_it_answers_where_it_says_and_ends_well_when_told_to_stop(tmp_path: Path) -> None:
    async with running(config_file(tmp_path, SCRIPTED)) as (process, url):
        async with client_of(url) as client:
            answer = await client.post("v1/chat/completions", json=chat_body())
        assert answer.json()["choices"][0]["message"]["content"] == "Hello from the script."
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(WAIT_S):
            assert await process.wait() == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_stream_that_is_open_when_it_is_told_to_stop_comes_to_its_end(tmp_path: Path) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.queue(chat_stream("first", gate, " last"))
        config = config_file(tmp_path, RELAYED.format(base_url=upstream.base_url))
        async with running(config) as (process, url), client_of(url) as client:
            seen = ""
            body = chat_body(stream=True)
            with anyio.fail_after(WAIT_S):
                async with client.stream("POST", "v1/chat/completions", json=body) as answer:
                    async for piece in answer.aiter_text():
                        seen += piece
                        if "first" in seen and not gate.opened.is_set():
                            process.send_signal(signal.SIGTERM)
                            await refused(int(url.rstrip("/").rpartition(":")[2]))
                            assert process.returncode is None
                            gate.opened.set()
                assert " last" in seen
                assert seen.endswith("data: [DONE]\n\n")
                assert await process.wait() == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED + "[server]\ndrain_seconds = 600\n")
    async with running(config) as (process, url), client_of(url) as client:
        seen = ""
        with anyio.fail_after(WAIT_S):
            await client.post("v1/chat/completions", json=chat_body())
            # The second reply never ends by itself.
            try:
                async with client.stream(
                    "POST", "v1/chat/completions", json=chat_body(stream=True)
                ) as answer:
                    async for piece in answer.aiter_text():
                        seen += piece
                        if "first" in seen and "error" not in seen:
                            process.send_signal(signal.SIGTERM)
                            await refused(int(url.rstrip("/").rpartition(":")[2]))
                            assert process.returncode is None
                            process.send_signal(signal.SIGTERM)
            except httpx2.RemoteProtocolError:
                pass
            await process.wait()
    assert "first" in seen
    assert "[DONE]" not in seen
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_port_in_use_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    with socket.create_server(("127.0.0.1", 0)) as taken, anyio.fail_after(WAIT_S):
        port = taken.getsockname()[1]
        ended = await anyio.run_process(command(config, port), check=False, env=dict(os.environ))
    assert ended.returncode == 2
    said = ended.stderr.decode().splitlines()
    assert len(said) == 1, said
    assert str(port) in said[0]
    assert "in use" in said[0]
