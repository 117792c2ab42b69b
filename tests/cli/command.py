"""Runs the command line as its user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPTED = """
[providers.demo]
kind = "scripted"
[models.echo]
provider = "demo"
[assistants.default]
model = "echo"
"""
UNREACHABLE = """
[providers.far]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "unused"
[models.far]
provider = "far"
[assistants.default]
model = "far"
"""
COMMAND = (sys.executable, "-m", "callboard.cli.main")
SOURCE = Path(__file__).parents[2] / "src"


def environment(**more: str) -> dict[str, str]:
    """Ours, with the source tree importable from anywhere."""
    path = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **more}


def callboard(
    folder: Path, *words: str, config: str | None = None, stdin: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``callboard WORDS`` in ``folder``, which holds ``config`` as its ``callboard.toml``."""
    if config is not None:
        (folder / "callboard.toml").write_text(config)
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line a failed command says, without its prefix; fails if it says anything else."""
    assert done.stdout == ""
    assert done.stderr.startswith("callboard: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("callboard: ").rstrip("\n")
