"""The machine that a run was on, as far as it matters."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from msgspec import Struct


class Machine(Struct, frozen=True, kw_only=True):
    """The machine that a run was on.

    Attributes:
        cores: That the run could use.
        gateway_core, load_core: Where the gateway ran, and where mock upstream and load generator did.
        second_core: Where the second of two workers may run; the load's where there is no third core.
    """

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    gateway_core: int
    load_core: int
    second_core: int


def this_machine() -> Machine:
    """Look around."""
    cores = sorted(os.sched_getaffinity(0))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=processor_of(Path("/proc/cpuinfo").read_text()),
        cores=len(cores),
        memory_gib=round(pages / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gateway_core=cores[0],
        load_core=cores[-1],
        second_core=cores[min(1, len(cores) - 1)],
    )


def processor_of(cpuinfo: str) -> str:
    """The processor's name in /proc/cpuinfo; some architectures have none there."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
