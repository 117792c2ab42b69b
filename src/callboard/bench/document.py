"""The whole result as one versioned JSON document: what was planned, where it ran, what came out.

It holds no header, no key and no payload.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import msgspec
from msgspec import Struct

from callboard.bench.plan import Plan
from callboard.bench.report import TargetReport

SCHEMA = "callboard.bench/1"
_PACKAGES = ("callboard", "anyio", "msgspec", "httptools", "uvloop")


class Machine(Struct, frozen=True, kw_only=True):
    """Where the loader ran.

    Attributes:
        cores: How many this process may use.
    """

    system: str
    architecture: str
    processor: str
    cores: int


class Document(Struct, frozen=True, kw_only=True):
    """The result of one benchmark.

    Attributes:
        schema: Changes with the meaning of any field.
        started_at: UTC, ISO 8601.
        interrupted: Whether it was stopped before its plan was carried out.
    """

    schema: str = SCHEMA
    started_at: str
    interrupted: bool
    plan: Plan
    machine: Machine
    versions: dict[str, str]
    targets: tuple[TargetReport, ...]


def encode(document: Document) -> bytes:
    """As indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def this_machine() -> Machine:
    """Where this process runs."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        processor=_processor(),
        cores=usable,
    )


def these_versions() -> dict[str, str]:
    """Python and the packages that the figures depend on, where they are installed."""
    versions = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    """The processor's name; Linux tells it in one place only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
