"""Installs outside clients once for each lock, whoever asks first: several processes may be running tests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


class CannotInstallError(Exception):
    """What is needed is not to be had here."""


def installed(name: str, install: Callable[[Path], None], *locks: Path) -> Path:
    """The folder where ``install`` has put what the ``locks`` name; it is called with a new one.

    Where that cannot be done, the test that asks is skipped; in CI it fails.
    """
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"callboard-{name}-{wanted}"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                install(folder)
            except CannotInstallError as error:
                if os.environ.get("CI"):
                    raise
                pytest.skip(f"{name}: {error}")
            (folder / "installed").touch()
    return folder


def found(*programs: str) -> str:
    """The first of the ``programs`` that is here.

    Raises:
        CannotInstallError: There is none of them.
    """
    for program in programs:
        path = shutil.which(program)
        if path is not None:
            return path
    raise CannotInstallError(f"{programs[-1]} is not installed")


def run(*command: str, cwd: Path) -> None:
    """Run a command to its end.

    Raises:
        CannotInstallError: It failed; with its last words.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise CannotInstallError(f"{command[0]}: {done.stderr.strip().splitlines()[-1:]}")
