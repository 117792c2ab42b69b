"""`callboard serve` as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

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


def command(config: Path, port: int = 0, *options: str) -> list[str]:
    """How the server is started."""
    return [
        *(sys.executable, "-m", "callboard.cli.main", "serve"),
        *("--port", str(port), "--config", str(config), *options),
    ]


@asynccontextmanager
async def running(config: Path, *options: str) -> AsyncIterator[tuple[Process, str]]:
    """The server as a process of its own, and the address that it prints; killed where it does not end."""
    with (config.parent / "stderr").open("wb") as errors:
        process = await anyio.open_process(
            command(config, 0, *options), stdout=subprocess.PIPE, stderr=errors
        )
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


async def refused(port: int) -> None:
    """Returns when nobody listens on ``port`` any more."""
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            return
        await stream.aclose()


def client_of(url: str) -> httpx2.AsyncClient:
    """A client that talks to the process."""
    return httpx2.AsyncClient(base_url=url, trust_env=False, timeout=WAIT_S)
