"""Running another program so that it ends when it should: on every event loop, with all it has started.

A program gets a process group of its own, the environment it is given and nothing else, no file of ours but
three pipes, and limits. `callboard.tools.launcher` stands between it and us, and says there how that is done.

What holds when the block of `open_child` is left, cancelled or not: the program and its descendants are gone
and no zombie is left. The same happens within moments when this process is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio import CancelScope
from msgspec import Struct

from callboard.domain.tool_process import ProcessLimits
from callboard.tools.pipe import PipeReader, PipeWriter

END_SECONDS = 0.7
"""So long the launcher may take to end everything before it is killed itself, and its program with it."""

# Isolated, and without site packages: the launcher needs neither, and starts in a third of the time.
_PYTHON = (sys.executable, "-I", "-S")
_LAUNCHER = str(Path(__file__).with_name("launcher.py"))


class Command(Struct, frozen=True, kw_only=True):
    """What to run.

    Attributes:
        argv: The program's absolute path, and its arguments.
        environment: All it gets to see.
        folder: Where it runs.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    limits: ProcessLimits = ProcessLimits()


class Ending(Struct, frozen=True):
    """How a program ended.

    Attributes:
        code: Its exit code; minus the number of the signal that ended it.
        fault: Why it could not be run at all, in words of the system.
    """

    code: int
    fault: str = ""

    def __str__(self) -> str:
        if self.fault:
            return f"could not be run: {self.fault}"
        if self.code >= 0:
            return f"ended with exit status {self.code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-self.code).name}"
        return f"was ended by signal {-self.code}"


class Child:
    """A running program; made by `open_child`.

    Attributes:
        stdin, stdout, stderr: Its streams. Each may be closed before the block ends.
    """

    def __init__(self, process: subprocess.Popen[bytes], lifeline: socket.socket) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a child needs its three pipes")
        self.stdin = PipeWriter(process.stdin)
        self.stdout = PipeReader(process.stdout)
        self.stderr = PipeReader(process.stderr)
        self._process = process
        self._lifeline = lifeline
        self._heard = b""
        self._over = False

    async def wait(self) -> Ending:
        """Wait until the program and everything that it started are gone, and say how it ended."""
        while not self._over:
            try:
                said = self._lifeline.recv(64)
            except BlockingIOError:
                await anyio.wait_readable(self._lifeline)
                continue
            except ConnectionError:
                said = b""
            self._heard += said
            self._over = not said
        await self._reap()
        return _ending(self._heard)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program and its group; what they do then is their affair."""
        with suppress(OSError):
            self._lifeline.send(b"t")

    def end(self) -> None:
        """End the program and everything that it started, now; `wait` returns when they are gone."""
        with suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """`end`, wait, and close all; nothing keeps it from that, and it takes a second at most."""
        with CancelScope(shield=True):
            self.end()
            with anyio.move_on_after(END_SECONDS):
                await self.wait()
            self._process.kill()  # which a launcher that is over does not feel
            self._process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        anyio.notify_closing(self._lifeline)
        self._lifeline.close()

    async def _reap(self) -> None:
        """Take leave of the launcher, which closes its lifeline with its last breath."""
        pause_s = 0.0005
        while self._process.poll() is None:
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)


@asynccontextmanager
async def open_child(command: Command) -> AsyncIterator[Child]:
    """Run a program for the length of a block; see the module's docstring for what holds at its end.

    Raises:
        OSError: The system has no process, memory or file left, or there is no such folder. A program that
            cannot be run is told by `Child.wait`.
    """
    child = _spawn(command)
    try:
        yield child
    finally:
        await child.close()


def _spawn(command: Command) -> Child:
    limits = command.limits
    numbers = (
        0 if limits.memory_mb is None else limits.memory_mb * 1024 * 1024,
        limits.cpu_seconds or 0,
        limits.files or 0,
        limits.processes or 0,
    )
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - what the operator configured, and no shell
                (*_PYTHON, _LAUNCHER, str(theirs.fileno()), *map(str, numbers), *command.argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=command.folder,
                env=dict(command.environment),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return Child(process, ours)


def _ending(heard: bytes) -> Ending:
    """What the launcher said: ``3``, or ``!2`` and ``127`` for a program that could not be run."""
    lines = heard.decode("ascii", "replace").split()
    if lines and lines[0].startswith("!"):
        return Ending(127, os.strerror(int(lines[0][1:])))
    return Ending(int(lines[0])) if lines else Ending(-signal.SIGKILL)
