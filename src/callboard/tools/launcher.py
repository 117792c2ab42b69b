"""The process between us and a program that we run; a script, run by `callboard.tools.child`, never imported.

It is one thread that does nothing but this, so it can fork where we cannot: limits, process group and the
signal for the parent's death are set between fork and exec, without the dangers that code there has in a
process with threads. And it stays until the program is over:

- A socket to us is its lifeline. When that closes, because we let go of it or because we died of whatever, it
  ends the program and everything that the program has started.
- It adopts orphans (a "subreaper"), so that a grandchild that left its group and lost its parent is found and
  ended too. Where the system has no such thing, only the group is.
- When the program is over, whatever it left behind is ended, and the lifeline is told how it ended.

Imports are few, because each call waits for them.
"""

# ruff: noqa: PTH116, PTH123, PTH208 - to import pathlib takes longer than all that is done here

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
COULD_NOT_RUN = 127
END_SECONDS = 2.0
"""How long the ending of what never stops to fork is tried."""

_AS_BEFORE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def main(lifeline: int, limits: dict[str, int], command: list[str]) -> None:
    """Run ``command`` until it ends or the lifeline does; then say how it ended."""
    os.set_inheritable(lifeline, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # we end with the program, not before it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    children, alarm = os.pipe()
    for each in (children, alarm):
        os.set_blocking(each, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    us = os.getpid()
    program = os.fork()
    if program == 0:
        _become(command, limits, lifeline, us)
    with suppress(OSError):
        os.setpgid(program, program)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):  # else its streams would not end when it closes them
        os.dup2(nothing, each)
    status = _end_all(program, _watch(program, lifeline, children))
    with suppress(OSError):
        os.write(lifeline, b"%d\n" % status)


def _become(command: list[str], limits: dict[str, int], lifeline: int, launcher: int) -> None:
    """Turn this process, just forked, into the program; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _AS_BEFORE:
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == launcher:
            _limit(limits)
            os.execv(command[0], command)  # noqa: S606 - which is what a program is run with
    except (OSError, ValueError) as error:
        fault = error.errno if isinstance(error, OSError) else None
        os.write(lifeline, b"!%d\n" % (fault or 0))
    finally:
        os._exit(COULD_NOT_RUN)


def _limit(limits: dict[str, int]) -> None:
    if limits["memory"]:
        _set(resource.RLIMIT_AS, limits["memory"], limits["memory"])
    if limits["cpu"]:
        # The first is a signal that tells why; the second cannot be ignored.
        _set(resource.RLIMIT_CPU, limits["cpu"], limits["cpu"] + 1)
    if limits["files"]:
        _set(resource.RLIMIT_NOFILE, limits["files"], limits["files"])
    if limits["processes"]:
        most = _tasks_of_this_user() + limits["processes"]
        _set(resource.RLIMIT_NPROC, most, most)


def _set(kind: int, soft: int, hard: int) -> None:
    """Lower a limit; one that is lower already stays."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(kind, (soft, hard))


def _watch(program: int, lifeline: int, children: int) -> int | None:
    """Wait for the end of the program or of the lifeline; the program's exit code in the first case.

    A byte on the lifeline asks the program's group to end, with SIGTERM.
    """
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(children, select.POLLIN)
    while True:
        for each, status in _dead():
            if each == program:
                return status
        ready = [fd for fd, _ in poll.poll()]
        if children in ready:
            with suppress(BlockingIOError):
                os.read(children, 512)
        if lifeline in ready:
            if not _heard(lifeline):
                return None
            _signal_group(program, signal.SIGTERM)


def _heard(lifeline: int) -> bytes:
    try:
        return os.read(lifeline, 64)
    except OSError:
        return b""


def _end_all(program: int, status: int | None) -> int:
    """End the program's group and every other descendant; the program's exit code."""
    _signal_group(program, signal.SIGKILL)
    give_up = time.monotonic() + END_SECONDS
    while time.monotonic() < give_up:
        try:
            for each, code in _dead():
                if each == program:
                    status = code
        except ChildProcessError:
            break  # nobody is left
        for each in _children():
            with suppress(OSError):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.001)
    return -signal.SIGKILL if status is None else status


def _dead() -> Iterator[tuple[int, int]]:
    """Children that have ended, with their exit codes; adopted ones too.

    Raises:
        ChildProcessError: There are no children, neither living nor dead.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _children() -> Iterator[int]:
    """Our children, by what /proc says; none where there is no /proc."""
    own = str(os.getpid())
    for pid in _processes():
        with suppress(OSError, IndexError), open(f"/proc/{pid}/stat") as file:
            # "12 (name, which may hold anything) S 1 …": the parent is the second word after the name.
            if file.read().rpartition(")")[2].split()[1] == own:
                yield int(pid)


def _tasks_of_this_user() -> int:
    """Threads of all processes of our user, which is what the system's limit counts."""
    user, count = os.getuid(), 0
    for pid in _processes():
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == user:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def _processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _signal_group(group: int, number: int) -> None:
    with suppress(OSError):
        os.killpg(group, number)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the lifeline has to be enough."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    _names = ("memory", "cpu", "files", "processes")
    main(int(sys.argv[1]), dict(zip(_names, map(int, sys.argv[2:6]), strict=True)), sys.argv[6:])
