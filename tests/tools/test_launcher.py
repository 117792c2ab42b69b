"""The process between us and a program, seen from outside: what happens when we are not there to end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from callboard.tools import launcher
from tests.tools.programs import gone

pytestmark = pytest.mark.anyio

SOURCE = Path(__file__).parents[2] / "src"
HOLDER = """
import anyio, os, sys
from callboard.tools.child import open_child
from tests.tools.programs import command
from tests.tools.test_child import STUBBORN, pids

async def main():
    async with open_child(command(STUBBORN)) as child:
        print(*await pids(child, 3), flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a stubborn family of programs, and prints their numbers."""
    path = os.pathsep.join((str(SOURCE), str(SOURCE.parent)))
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


async def test_a_family_dies_when_whoever_holds_it_is_killed(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdout is not None
    family = [int(each) for each in holder.stdout.readline().split()]
    assert len(family) == 3
    holder.send_signal(signal.SIGKILL)
    with anyio.fail_after(5):
        for each in family:
            await gone(each)


@pytest.mark.parametrize("said, heard", [("exit 3", b"3\n"), ("kill -9 $$", b"-9\n")])
def test_the_lifeline_is_told_how_the_program_ended(said: str, heard: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = (str(theirs.fileno()), "0", "0", "0", "0", "/bin/sh", "-c", said)
        done = subprocess.run(
            [sys.executable, "-I", "-S", launcher.__file__, *words],
            pass_fds=(theirs.fileno(),),
            timeout=10,
            check=False,
        )
        assert done.returncode == 0
        assert ours.recv(64) == heard


def test_the_launcher_needs_nothing_but_the_standard_library() -> None:
    code = f"import runpy, sys; runpy.run_path({launcher.__file__!r}); print('callboard' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
