"""What was acknowledged survives a power failure at any moment, and the check of that finds what does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.store.power_loss import Disk, Mutant, Recording, disks, fault_of, record

COMMITS = 25


def faults(run: Recording, some: Iterable[Disk], tmp_path: Path) -> Iterator[str]:
    directory = tmp_path / "disk"
    directory.mkdir()
    for disk in some:
        fault = fault_of(disk, run, directory)
        if fault is not None:
            yield f"power failure at {disk.boundary}: {fault}"


def test_every_acknowledged_commit_is_there_and_whole_after_a_power_failure(tmp_path: Path) -> None:
    run = record(tmp_path, COMMITS)
    some = list(disks(run, seed=1, share=0.2))
    assert len({disk.boundary for disk in some}) > 300
    assert {disk.acknowledged for disk in some} == {-1, *range(COMMITS + 1)}
    assert list(faults(run, some, tmp_path)) == []


@pytest.mark.parametrize(
    "mutant", ["OFF", "NORMAL", "FULL", "early acknowledgement", "two transactions", "no sync"]
)
def test_a_writer_that_promises_too_much_is_found_out(mutant: Mutant, tmp_path: Path) -> None:
    run = record(tmp_path, 12, mutant=mutant)
    assert next(faults(run, disks(run, seed=1, share=0.2), tmp_path), None) is not None


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_no_disk_of_ten_thousand_has_lost_anything(seed: int, tmp_path: Path) -> None:
    run = record(tmp_path, 60, seed=seed)
    every = list(disks(run, seed))
    assert len(every) >= 2_500
    assert list(faults(run, every, tmp_path)) == []
