"""Programs that we start, pin to a core, weigh and end.

Each is the leader of a session of its own. "The gateway" is whatever processes are in that session or descend
from it, for workers may lead sessions of their own; ending it ends them and nobody else.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from msgspec import Struct

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = resource.getpagesize()
PATIENCE_S = 5
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
"""What programs may see of our environment. PYTHONDONTWRITEBYTECODE is not in it, nor are keys or proxies."""


class Stat(Struct, frozen=True, kw_only=True):
    """What ``/proc/PID/stat`` says of a process.

    Attributes:
        parent: Process id of the process that started it, or of whoever adopted it.
        session: Process id of the session's leader.
        cpu_ticks: In user and system mode, of the process and of those of its children that have ended.
        rss_pages: Resident memory.
    """

    parent: int
    session: int
    cpu_ticks: int
    rss_pages: int


def parse_stat(text: str) -> Stat:
    """The line of ``/proc/PID/stat``.

    Source: proc_pid_stat(5); its second field is in parentheses and may hold anything, parentheses too.
    """
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_ticks=sum(map(int, fields[11:15])),
        rss_pages=int(fields[21]),
    )


class Process:
    """A running program with its descendants.

    Attributes:
        pid: Of the program, and so of its session.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cores: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: IO[bytes] | int = subprocess.DEVNULL,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start ``argv`` on ``cores``.

        Args:
            argv: The program and its arguments.
            cores: The only ones that it and its descendants may use.
            env: Added to the little that it sees of our own environment.
            cwd: Where it runs.
            output: Where standard output goes; standard error goes there too, but into a pipe.
            patience_s: How long it may take to end when it is told to.
        """
        self._patience_s = patience_s
        inherited = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._child = subprocess.Popen(
            ("taskset", "-c", ",".join(map(str, cores)), *argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.PIPE else None,
            env={**inherited, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        self.pid = self._child.pid

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe, where one was asked for."""
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def ended(self) -> int | None:
        """The exit status; None while it runs."""
        return self._child.poll()

    def cpu_s(self) -> float:
        """Processor time that all its processes have taken so far."""
        return sum(stat.cpu_ticks for stat in self._family().values()) / TICKS_PER_S

    def rss_bytes(self) -> int:
        """Resident memory of all its processes; pages that they share count for each."""
        return sum(stat.rss_pages for stat in self._family().values()) * PAGE_BYTES

    def stop(self) -> None:
        """End it: first kindly, then not."""
        sessions = {self.pid, *(stat.session for stat in self._family().values())}
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, ending)
            except ProcessLookupError:
                break
            try:
                self._child.wait(self._patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        for pid, stat in _all():
            if stat.session in sessions and pid != self.pid:  # it outlived the leader
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _family(self) -> dict[int, Stat]:
        others = dict(_all())
        found: dict[int, Stat] = {}
        while new := {
            pid: stat for pid, stat in others.items() if stat.session == self.pid or stat.parent in found
        }:
            found |= new
            others = {pid: stat for pid, stat in others.items() if pid not in new}
        return found


def _all() -> Iterator[tuple[int, Stat]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(folder.name), parse_stat(text)


def core_busy_s(core: int) -> float:
    """Time since boot in which ``core`` was not idle, whoever used it, other virtual machines included.

    Source: proc_stat(5); fields 4 and 5 are idle and waiting for input or output.
    """
    lines = Path("/proc/stat").read_text().splitlines()
    ticks = next(line.split()[1:9] for line in lines if line.startswith(f"cpu{core} "))
    return sum(int(each) for field, each in enumerate(ticks) if field not in (3, 4)) / TICKS_PER_S


def raise_open_files() -> int:
    """Let us, and what we start, open as many files as we may; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
