"""Settings for the servers of the tests, and what became of their processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import anyio

from callboard.domain.observation import ToolProgressed, ToolSourceRefused, ToolSourceSaid
from callboard.secret import Secret
from callboard.tools.mcp import AnswerSampling, Desk, Elicit, HttpServer, ServerSettings, StdioServer
from callboard.tools.space import SourcePolicy

RAW = str(Path(__file__).with_name("mcp_raw.py"))
SDK = str(Path(__file__).with_name("mcp_sdk.py"))
POLICY = SourcePolicy()

HttpTransport: TypeAlias = Literal["streamable-http", "sse"]


def raw(
    mood: str = "honest",
    argument: str = "",
    *,
    name: str = "raw",
    env: Mapping[str, str] | None = None,
    policy: SourcePolicy = POLICY,
    start_s: float = 10.0,
    refresh_s: float = 0.0,
    script: str = RAW,
) -> ServerSettings:
    """A server of `tests.fakes.mcp_raw`."""
    secrets = {key: Secret(value) for key, value in (env or {}).items()}
    way = StdioServer(command=sys.executable, args=("-I", "-S", script, mood, argument), env=secrets)
    return ServerSettings(name=name, way=way, policy=policy, start_s=start_s, refresh_s=refresh_s)


def sdk(
    how: str = "stdio", *, name: str = "sdk", roots: tuple[str, ...] = (), policy: SourcePolicy = POLICY
) -> ServerSettings:
    """A server of `tests.fakes.mcp_sdk` over pipes; ``old`` speaks the wire of 2025-11-25 alone."""
    way = StdioServer(command=sys.executable, args=(SDK, how))
    return ServerSettings(name=name, way=way, roots=roots, policy=policy)


def at(url: str, *, name: str = "far", transport: HttpTransport = "streamable-http") -> ServerSettings:
    """A server behind a URL."""
    headers = {"X-Secret": Secret("s3cret")}
    return ServerSettings(name=name, way=HttpServer(url=url, transport=transport, headers=headers))


@contextmanager
def listening(transport: str = "http", port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of `tests.fakes.mcp_sdk` behind a URL, in a process of its own."""
    command = [sys.executable, SDK, transport, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        with process.stdout:
            path = "sse" if transport == "sse" else "mcp"
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/{path}", process
    finally:
        process.kill()
        process.wait()


class Heard:
    """What sessions told."""

    def __init__(self) -> None:
        self.said: list[ToolSourceSaid] = []
        self.progress: list[ToolProgressed] = []
        self.refused: list[ToolSourceRefused] = []

    def desk(self, answer: AnswerSampling | None = None, elicit: Elicit | None = None) -> Desk:
        return Desk(
            said=self.said.append,
            progressed=self.progress.append,
            refused=self.refused.append,
            answer_sampling=answer,
            elicit=elicit,
        )


def is_alive(pid: int) -> bool:
    """Whether there is such a process, zombies included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children() -> set[int]:
    """The processes whose parent is this one."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it is so; the test has its own limit."""
    while not holds():
        await anyio.sleep(0.005)
