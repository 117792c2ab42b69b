"""What the kernel knows of a process, read from ``/proc``: from outside, whatever the process is busy with.

Source: Linux, proc(5): ``stat``, ``statm``, ``fd`` and ``net/tcp``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import anyio
from msgspec import Struct

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
POLL_S = 0.05
TCP_STATES = {"01": "ESTABLISHED", "06": "TIME_WAIT", "08": "CLOSE_WAIT", "0A": "LISTEN"}
"""The states that we ask about, by their number in ``net/tcp``."""


class Sample(Struct, frozen=True, kw_only=True):
    """A process at one moment.

    Attributes:
        cpu_s: Processor time so far, in user and system mode.
        sockets: TCP sockets by state, and by the port they are connected to.
    """

    rss_bytes: int
    fds: int
    threads: int
    children: int
    cpu_s: float
    sockets: Mapping[tuple[str, int], int]

    @property
    def tcp(self) -> int:
        """TCP sockets, of any state."""
        return sum(self.sockets.values())

    def sockets_in(self, state: str) -> int:
        """TCP sockets in one state."""
        return sum(count for (each, _), count in self.sockets.items() if each == state)

    def connected_to(self, port: int) -> int:
        """TCP sockets, of any state, whose other end has this port."""
        return sum(count for (_, each), count in self.sockets.items() if each == port)


def sample(pid: int) -> Sample:
    """The process now; it has to be alive and ours."""
    fields = _stat(PROC / str(pid))
    links = list(_links(pid))
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    return Sample(
        rss_bytes=rss_bytes(pid),
        fds=len(links),
        threads=int(fields[17]),
        children=sum(1 for _ in _children(pid)),
        cpu_s=(int(fields[11]) + int(fields[12])) * TICK_S,
        sockets=Counter(_sockets(pid, inodes)),
    )


def rss_bytes(pid: int) -> int:
    """Its memory alone, which is cheap to ask for."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES


async def until(pid: int, condition: Callable[[Sample], bool], *, within_s: float) -> Sample:
    """The first sample that meets ``condition``; the last one where none does in time."""
    found = sample(pid)
    with anyio.move_on_after(within_s):
        while not condition(found):
            await anyio.sleep(POLL_S)
            found = sample(pid)
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second figure grows with the first: the least-squares line's."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def _stat(folder: Path) -> list[str]:
    """The fields behind the command's name, which may itself hold anything: ``state`` is the first."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _children(pid: int) -> Iterator[str]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                if _stat(folder)[1] == str(pid):
                    yield folder.name
            except OSError:
                continue  # it ended while we looked


def _links(pid: int) -> Iterator[str]:
    for descriptor in (PROC / str(pid) / "fd").iterdir():
        try:
            yield str(descriptor.readlink())
        except OSError:
            continue  # closed while we looked


def _sockets(pid: int, inodes: set[str]) -> Iterator[tuple[str, int]]:
    for table in ("tcp", "tcp6"):
        for line in (PROC / str(pid) / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                port = int(fields[2].rpartition(":")[2], 16)
                yield TCP_STATES.get(fields[3], fields[3]), port
