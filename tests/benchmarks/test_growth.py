"""Growth is measured on real processes, told in tables, and what did not happen is no figure."""

from pathlib import Path

import pytest

from benchmarks.gateways.footprint import imports
from benchmarks.gateways.growth import stream_counts, with_open_streams
from benchmarks.gateways.growth_report import growth_table, imports_table, memory_table
from benchmarks.gateways.loader import Upstream
from benchmarks.gateways.machine import this_machine
from benchmarks.gateways.measure import Bench
from benchmarks.gateways.peers import splice
from benchmarks.gateways.results import Cost, Import, Memory
from tests.benchmarks.runs import run


def cost(size: int, request_us: float, chunk_us: float, number: int = 1) -> Cost:
    return Cost(
        gateway="callboard",
        grows="open streams",
        size=size,
        round=number,
        request_us=request_us,
        chunk_us=chunk_us,
    )


@pytest.fixture
def bench(binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path) -> Bench:
    return Bench(
        upstream=upstream,
        load_binary=binaries[1],
        machine=this_machine(),
        scenarios=(),
        seconds=1.0,
        peers=tmp_path,
        say=lambda _: None,
    )


def test_what_open_streams_cost_is_weighed_while_they_are_open(bench: Bench) -> None:
    before = bench.upstream.books()
    found = with_open_streams(bench, splice.GATEWAYS[0], 10, 1)
    assert (found.gateway, found.grows, found.size, found.round) == ("splice", "open streams", 10, 1)
    assert 0 < found.chunk_us < 10_000
    assert 0 < found.request_us < 10_000
    after = bench.upstream.books()
    assert after.streams - before.streams == 10


def test_no_more_streams_are_opened_than_files_may_be() -> None:
    counts = stream_counts()
    assert list(counts) == sorted(set(counts))
    assert counts[-1] <= 10_000


def test_an_import_is_timed_in_interpreters_of_its_own(bench: Bench) -> None:
    found = imports(bench, 3)
    assert {each.module for each in found} == {"callboard", "callboard.cli.serve"}
    assert {each.round for each in found} == {3}
    assert all(0 < each.seconds < 60 for each in found)


def test_growth_is_a_row_from_small_to_large_in_medians() -> None:
    costs = [cost(1_000, 120, 42), cost(10, 100, 35), cost(10, 104, 37, 2), cost(10, 200, 99, 3)]
    assert growth_table(run(aside=costs)).splitlines()[2:] == [
        "| Callboard, relay: open streams | 10 → 1,000 | 104 → 120 | 37 → 42 |"
    ]


def test_memory_is_told_from_ready_and_from_warm() -> None:
    found = Memory(gateway="callboard", round=1, idle=41_000_000, warm=42_500_000, later=43_000_000)
    assert memory_table(run(aside=[found])).splitlines()[2:] == [
        "| Callboard, relay | 41.0 | 42.5 | 43.0 | +2.0 | +0.5 |"
    ]


def test_an_import_is_the_median() -> None:
    found = [Import(module="m", round=1, seconds=each) for each in (0.1, 0.2, 0.9)]
    assert imports_table(run(aside=found)).splitlines()[2:] == ["| `m` | 0.200 |"]


def test_what_was_not_measured_has_no_table() -> None:
    assert growth_table(run()) == memory_table(run()) == imports_table(run()) == ""
