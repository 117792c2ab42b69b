"""`callboard serve` as a process of its own, looked at from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

from tests.fakes.load import connect
from tests.fakes.sampler import Sample, sample, until
from tests.telemetry.logfmt import parse

ROOT = Path(__file__).parent.parent.parent
STRICT = ("-X", "dev", "-W", "error::ResourceWarning")
RELAY = ("-m", "callboard.cli.main", "serve", "--port", "0", "--config")
ACTORS = ("-m", "tests.soak.serve", "--tool")
PATHS = {"relay": RELAY, "actors": ACTORS}
"""How the server is started: as everybody does, and with a tool of its own, so that actors answer."""

START_S = 20
STOP_S = 20
GREETING = "greeting"
COMPLAINTS = re.compile(r"Traceback|never retrieved|never awaited|ResourceWarning|Exception ignored")


FAR_AWAY = """
[limits]
requests_per_minute = 100_000_000
tokens_per_minute = 1_000_000_000_000
parallel = 100_000
"""
"""Limits that are counted and never met: the default ones are for people, and not for load."""


class Running(Struct, frozen=True, kw_only=True, eq=False):
    """A server that runs, and where it writes."""

    process: Process
    port: int
    log: Path
    errors: Path

    def sample(self) -> Sample:
        """The process now."""
        return sample(self.process.pid)

    def lines(self) -> Iterator[dict[str, str]]:
        """The log's lines as their fields, without those of our own greeting."""
        with self.log.open() as log:
            for line in log:
                fields = parse(line.rstrip("\n"))
                if fields.get("request_id") != GREETING:
                    yield fields

    def closing_lines(self) -> int:
        """How many requests are over, by the log."""
        with self.log.open("rb") as log:
            return sum(1 for line in log if b'msg="request closed"' in line) - 1

    async def stop(self) -> None:
        """Tell it to stop, and check that it ends well and never complained."""
        self.process.send_signal(signal.SIGTERM)
        with anyio.fail_after(STOP_S):
            assert await self.process.wait() == 0
        said = self.errors.read_text()
        assert not COMPLAINTS.search(said), said[-4000:]


@asynccontextmanager
async def running(
    folder: Path,
    config: str,
    *,
    start: Sequence[str] = RELAY,
    flags: Sequence[str] = STRICT,
    cpu: int | None = None,
    level: str = "debug",
) -> AsyncIterator[Running]:
    """The server as a process, ready; killed where the block leaves it running.

    Args:
        folder: For its files.
        config: Its configuration, without ``[log]``.
        start: Module and options; the configuration follows.
        flags: The interpreter's.
        cpu: The processor it runs on; any by default.
        level: Of its log.
    """
    log, errors, file = folder / "log", folder / "stderr", folder / "callboard.toml"
    await anyio.Path(file).write_text(f'{config}\n[log]\nfile = "{log}"\nlevel = "{level}"\n')
    command = [sys.executable, *flags, *start, str(file)]
    with errors.open("wb") as stderr:
        process = await anyio.open_process(command, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT)
    async with process:
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            assert process.stdout is not None
            with anyio.fail_after(START_S):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"/ ", 500)
            server = Running(
                process=process, port=int(line.decode().rpartition(":")[2]), log=log, errors=errors
            )
            await _greet(server)
            yield server
        finally:
            if process.returncode is None:
                process.kill()


async def _greet(server: Running) -> None:
    """One request and its connection's end: what is open now is what a server that has nothing to do has."""
    request = (
        f"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {GREETING}\r\nConnection: close\r\n\r\n"
    )
    wire = await connect(server.port)
    with anyio.fail_after(START_S):
        wire.send(request.encode())
        await wire.until_lost()
        await until(
            server.process.pid, lambda now: now.sockets_in("LISTEN") == now.tcp == 1, within_s=START_S
        )


def relay_config(base_url: str, *, server: str = "", provider: str = "", providers: int = 1) -> str:
    """A configuration with ``demo-model`` at ``base_url``, and with ``demo-model-1`` and so on if asked."""
    tables = [f"[server]\n{server}", FAR_AWAY]
    for number in range(providers):
        name = f"up{number}"
        model = "demo-model" if number == 0 else f"demo-model-{number}"
        tables.append(
            f'[providers.{name}]\nkind = "openai"\nbase_url = "{base_url}"\n{provider}\n'
            f'[models.{model}]\nprovider = "{name}"\nupstream_name = "fake-1"\ninput = 1\noutput = 2\n'
        )
    return "\n".join(tables)
