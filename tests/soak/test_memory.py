"""Memory counted in pieces and bytes: what a request leaves behind shows long before the process grows.

Python takes memory from the system by the MiB, so the size of the process cannot tell a byte a request from
none. What its allocator and C's have handed out can. It is asked for at rest, once all garbage is collected.
Kept connections, caches and the books' latest lines come and go in hundreds of pieces; what only ever grows
raises the least count too, so the least of the later windows is compared with the least of the earlier ones.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from tests.fakes.upstream import serve_upstream
from tests.soak.mix import PROVIDER, SERVER, Mix
from tests.soak.process import Running, relay_config, running
from tests.soak.test_mixed import held, settled

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
WINDOWS, EACH = 25, int(os.environ.get("CALLBOARD_SOAK_WINDOW", "4000"))
WARM_UP = 5
"""Windows in which caches and tables fill."""

CLIENTS = 32
MOST_BYTES = 1024
"""What a thousand requests may leave behind."""

PIECE_BYTES = 64
"""A small object: what is promised in bytes is counted in pieces of this size."""

MOST_PIECES = MOST_BYTES / PIECE_BYTES

BY_CHANCE_PIECES = 500
"""The least counts of two halves may differ by so many, once, however many requests there were."""


class Memory(NamedTuple):
    """What is in use: pieces of Python's own allocator, and bytes of C's."""

    pieces: int
    heap_bytes: int


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


def told(file: Path) -> list[Memory]:
    """What the process has counted so far."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return [Memory(int(pieces), int(heap)) for pieces, heap in rows]


async def memory(server: Running, file: Path) -> Memory:
    """What there is now."""
    known = len(told(file))
    server.process.send_signal(signal.SIGUSR1)
    with anyio.fail_after(10):
        while len(counts := told(file)) == known:
            await anyio.sleep(0.05)
    return counts[-1]


async def measured(folder: Path, *options: str, windows: int, each: int, tools: bool) -> list[Memory]:
    """Memory at rest after each window of mixed requests."""
    file = folder / "memory"
    start = ("-m", "tests.soak.serve", *(("--tool",) if tools else ()), *options, "--memory", str(file))
    counts: list[Memory] = []
    async with serve_upstream() as upstream:
        config = relay_config(upstream.base_url, server=SERVER, provider=PROVIDER)
        async with running(folder, config, start=start, flags=(), level="info") as server:
            before = held(server.sample(), upstream.port)
            mix = Mix(server.port, upstream, seed=3, tools=tools)
            for _ in range(windows):
                await mix.run(each, CLIENTS)
                await settled(server, upstream.port, before)
                counts.append(await memory(server, file))
            await server.stop()
    return counts


def growth(counts: Sequence[int], each: int) -> float:
    """How much more there is for each thousand requests, by the least counts of both halves."""
    half = len(counts) // 2
    return (min(counts[half:]) - min(counts[:half])) / (each * half / 1000)


@pytest.mark.parametrize("path", ["relay", "actors"])
async def test_mixed_requests_leave_no_piece_of_memory(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = await measured(tmp_path, windows=WINDOWS, each=EACH, tools=path == "actors")
    pieces, heap = ([each[at] for each in counts[WARM_UP:]] for at in (0, 1))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{path}: {pieces} pieces, {growth(pieces, EACH):.1f} more for each 1,000 requests; "
            f"{[one // 1024 for one in heap]} KiB of C's heap, {growth(heap, EACH):.0f} bytes more\n"
        )
    by_chance = BY_CHANCE_PIECES / (EACH * (WINDOWS - WARM_UP) / 2 / 1000)
    assert growth(pieces, EACH) <= MOST_PIECES + by_chance
    assert growth(heap, EACH) <= MOST_BYTES + by_chance * PIECE_BYTES


async def test_a_leak_of_one_small_object_a_request_is_noticed(tmp_path: Path) -> None:
    counts = await measured(tmp_path, "--leak", str(PIECE_BYTES), windows=6, each=1000, tools=False)
    assert growth([each.pieces for each in counts[1:]], 1000) >= 500
