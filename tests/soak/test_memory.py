"""Memory counted in pieces: what a request leaves behind shows long before the process grows."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from tests.fakes.upstream import serve_upstream
from tests.soak.mix import PROVIDER, SERVER, Mix
from tests.soak.process import Running, relay_config, running
from tests.soak.test_mixed import held, settled

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
WINDOWS, EACH = 10, int(os.environ.get("CALLBOARD_SOAK_WINDOW", "2000"))
CLIENTS = 32
MOST = 500.0
"""Pieces that a thousand requests may leave; one object left by each of them would be a thousand."""


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


def told(file: Path) -> list[int]:
    """What the process has counted so far."""
    return [int(line) for line in file.read_text().splitlines()]


async def blocks(server: Running, file: Path) -> int:
    """How many there are now."""
    known = len(told(file))
    server.process.send_signal(signal.SIGUSR1)
    with anyio.fail_after(10):
        while len(counts := told(file)) == known:
            await anyio.sleep(0.05)
    return counts[-1]


@pytest.mark.parametrize("path", ["relay", "actors"])
async def test_mixed_requests_leave_no_piece_of_memory(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "blocks"
    tool = ("--tool",) if path == "actors" else ()
    start = ("-m", "tests.soak.serve", *tool, "--blocks", str(file))
    counts: list[int] = []
    async with serve_upstream() as upstream:
        config = relay_config(upstream.base_url, server=SERVER, provider=PROVIDER)
        async with running(tmp_path, config, start=start, flags=(), level="info") as server:
            before = held(server.sample(), upstream.port)
            mix = Mix(server.port, upstream, seed=3, tools=path == "actors")
            for _ in range(WINDOWS):
                await mix.run(EACH, CLIENTS)
                await settled(server, upstream.port, before)
                counts.append(await blocks(server, file))
            await server.stop()
    # Kept connections and caches come and go in thousands; what only ever grows raises the least count too.
    half = WINDOWS // 2
    growth = (min(counts[half:]) - min(counts[1:half])) / (EACH * half / 1000)
    with capsys.disabled():
        sys.stdout.write(f"\n{path}: {counts} pieces, {growth:.1f} more for each 1,000 requests\n")
    assert growth <= MOST
