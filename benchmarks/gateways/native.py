"""The two C programs, compiled when they are first needed.

A binary is kept under the hash of all sources and flags: what has changed is compiled anew.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Literal

SOURCES = Path(__file__).parent / "native"
CACHE = Path(__file__).parents[2] / ".bench" / "native"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


class CannotMeasureError(Exception):
    """What is needed for a measurement is not there; the message says what to do."""


def compiler(path: str | None = None) -> str | None:
    """The C compiler found on ``path``, by default $PATH; None where there is none."""
    return next((found for each in COMPILERS if (found := shutil.which(each, path=path))), None)


def build(program: Literal["upstream", "load"], cache: Path = CACHE, path: str | None = None) -> Path:
    """The compiled program, with the compiler found on ``path``.

    Raises:
        CannotMeasureError: There is no C compiler, or it fails.
    """
    found = compiler(path)
    if found is None:
        raise CannotMeasureError(
            "the mock upstream and the load generator are written in C, and there is no C compiler here: "
            "install one (Debian: apt-get install gcc libc6-dev)"
        )
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    binary = cache / f"{program}-{digest.hexdigest()[:16]}"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = binary.with_suffix(".new")
        command = (found, *FLAGS, "-o", str(fresh), str(SOURCES / f"{program}.c"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotMeasureError(f"{program}.c does not compile:\n{done.stderr}")
        fresh.replace(binary)
    return binary
