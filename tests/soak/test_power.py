"""The power fails under a server that works for eight clients: what they were told is there, and whole.

A client knows of a response when the write that ends it was handed to his socket. These writes stand in one
trace with what reaches the disk, so that each state a disk can be left in is held against what clients knew
by then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import anyio
import pytest

from tests.soak.power_session import CLIENTS, Session, fault_of, session
from tests.store.power_loss import Disk

pytestmark = pytest.mark.anyio
TURNS = 3
STATES = 400
MANY = 10_000


@pytest.fixture
def anyio_backend() -> object:
    """The server is a process of its own."""
    return "asyncio"


def faults(found: Session, some: Iterable[Disk], folder: Path) -> Iterator[str]:
    directory = folder / "disk"
    directory.mkdir()
    for disk in some:
        fault = fault_of(disk, found, directory)
        if fault is not None:
            yield f"power failure at {disk.boundary}: {fault}"


async def test_what_clients_were_told_is_there_and_whole_after_a_power_failure(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        found = await session(tmp_path, turns=TURNS)
    assert len(found.told) == len(found.kept) == CLIENTS * TURNS
    every = 3 * len(found.recording.log)
    some = list(found.disks(seed=1, share=min(STATES / every, 1)))
    assert len(some) >= STATES // 2
    assert len({disk.acknowledged for disk in some}) >= CLIENTS
    assert list(faults(found, some, tmp_path)) == []


@pytest.mark.parametrize("mutant", ["normal", "early"])
async def test_a_server_that_tells_too_early_is_found_out(mutant: str, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        found = await session(tmp_path, turns=1, mutant=mutant)
    fault = next(faults(found, found.disks(seed=1, share=1), tmp_path), None)
    assert fault is not None
    assert "was told to its client" in fault


@pytest.mark.soak
async def test_no_disk_of_ten_thousand_lacks_what_a_client_was_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = seed = 0
    while states < MANY:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        with anyio.fail_after(120):
            found = await session(folder, turns=8)
        some = list(islice(found.disks(seed, share=1), MANY))
        assert list(faults(found, some, folder)) == []
        states += len(some)
        with capsys.disabled():
            sys.stdout.write(f"\n{len(found.told)} responses, {states} disks\n")
