"""RESULTS.md says what was measured, and what a reader should doubt."""

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from benchmarks.gateways.cells import rounded
from benchmarks.gateways.report import (
    drawn,
    headroom,
    latency_table,
    mock_capacity,
    ratio_table,
    remarks_of,
    report,
    throughput_table,
    write_report,
)
from benchmarks.gateways.results import Run
from benchmarks.gateways.scenarios import Scenario
from tests.benchmarks.runs import STREAM, UNARY, run, sample, start

VERSIONS = {"callboard": "1.0", "vllm-router": "2.0"}
ONE = Scenario(name="unary-c1", title="c1", saturates=False)
FIXED = Scenario(name="rate-1000", title="1,000 req/s", rate=1_000, saturates=False)
PACED = Scenario(
    name="paced-200",
    title="paced",
    model="mock-paced-5ms-10",
    pace_s=0.005,
    connections=20,
    chunks=10,
    unit="chunks/s",
    saturates=False,
)


def compared() -> Run:
    samples = [
        sample("direct", rate=90_000, requests=10_000, upstream_cpu_s=0.05),
        sample("callboard", rate=30_456, requests=1_000, cpu_s=0.95),
        sample("vllm-router", rate=20_000, requests=1_000, cpu_s=0.97),
        sample("callboard", STREAM, rate=300_000, chunks=100_000, cpu_s=0.95),
    ]
    return run(
        samples, [start("callboard", ready_s=0.251, idle=41_000_000, after=43_400_000)], versions=VERSIONS
    )


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_throughput_has_a_row_for_each_gateway_and_a_column_for_each_scenario() -> None:
    assert rows(throughput_table(compared())) == [
        ["gateway", "c16, req/s", "s16, chunks/s"],
        ["---", "---", "---"],
        ["Callboard, relay", "30,500 (950)", "300,000 (9.5)"],
        ["vllm-router (Rust)", "20,000 (970)", "–"],
    ]


def test_latency_is_what_a_gateway_adds() -> None:
    samples = [
        sample("direct", ONE, p50=20),
        sample("callboard", ONE, p50=66),
        sample("direct", FIXED, rate=1_000, p50=50),
        sample("callboard", FIXED, rate=999, p50=120),
        sample("vllm-router", FIXED, rate=400, p50=120),
        sample("callboard", PACED, rate=4_000, chunks=1_000, cpu_s=0.0123, chunk_p50=53),
    ]
    starts = [start("callboard", ready_s=0.251, idle=41_000_000, after=43_400_000)]
    table = rows(latency_table(run(samples, starts, scenarios=(ONE, FIXED, PACED), versions=VERSIONS)))
    assert table[2:] == [
        ["Callboard, relay", "46/46/46", "70/70/70", "12, 53/53/53", "0.25", "41 → 43"],
        ["vllm-router (Rust)", "–", "cannot carry it", "–", "–", "–"],
    ]


def test_ratios_are_ours_to_theirs() -> None:
    table = rows(ratio_table(compared()))
    assert table[0] == ["", "vllm-router (Rust)"]
    assert table[2] == ["Callboard, relay: c16, req/s", "1.52×"]
    assert table[3] == ["Callboard, relay: c16, CPU", "0.98×"]
    assert table[4] == [""], "nobody else streamed: there is nothing to say of it"


def test_nothing_to_compare_with_is_said() -> None:
    assert ratio_table(run(versions={"nginx": "1"})) == "Nothing to compare with."


def test_headroom_names_the_fastest() -> None:
    assert "; 6.6 times Callboard, relay (enough)" in headroom(compared())
    slow = compared().samples[1:]
    direct = sample("direct", rate=90_000, requests=10_000, upstream_cpu_s=0.1)
    assert "; 3.3 times Callboard, relay (too little)" in headroom(
        msgspec.structs.replace(compared(), samples=[direct, *slow])
    )


def test_what_only_passes_bytes_on_is_no_gateway_to_be_faster_than() -> None:
    samples = [*compared().samples, sample("nginx", rate=60_000)]
    measured = run(samples, versions={**VERSIONS, "nginx": "1"})
    assert "6.6 times Callboard, relay; 3.3 times nginx, one worker (enough)" in headroom(measured)


def test_the_mock_alone_is_what_its_processor_time_comes_to() -> None:
    assert mock_capacity(compared(), UNARY) == pytest.approx(200_000)
    assert mock_capacity(compared(), STREAM) == 0


@pytest.mark.parametrize(
    "value, text", [(18_642, "18,600"), (1_447_070, "1,450,000"), (834, "834"), (11.97, "12.0")]
)
def test_figures_have_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert rounded(value) == text


def test_remarks_say_what_to_doubt() -> None:
    samples = [
        sample("callboard", cpu_s=0.5, errors={"status": 3}, upstream_requests=110),
        sample("vllm-router", cpu_s=0.5, core_busy_s=0.95),
        sample("vllm-router", FIXED, rate=500),
        sample("callboard", PACED, rate=2_000),
    ]
    measured = run(samples, scenarios=(UNARY, FIXED, PACED), versions=VERSIONS)
    assert remarks_of(measured) == [
        "Callboard, relay, c16: answers failed (3 status).",
        "Callboard, relay, c16: the upstream was asked +7 times beyond what was answered.",
        "Callboard, relay, c16: its core was busy 50% only; the load generator set the pace.",
        "Callboard, relay, paced: it carried 2,000 of 4,000 chunks/s.",
        "vllm-router (Rust): others used up to 45% of its core, in 1 of 3 scenarios.",
        "vllm-router (Rust), 1,000 req/s: it carried 500 of 1,000 req/s.",
    ]


def test_a_clean_run_has_no_remarks() -> None:
    assert remarks_of(compared()) == []


def test_the_report_holds_machine_command_versions_and_what_is_missing() -> None:
    measured = msgspec.structs.replace(compared(), left_out={"ogx": "not installed"})
    text = report(measured)
    for part in (
        "Abacus 3000, 2 cores",
        "    python -m benchmarks.gateways",
        "- vllm-router (Rust): 2.0",
        "- OGX: not measured (not installed)",
        "results.svg",
    ):
        assert part in text
    assert "## Remarks" not in text


def test_a_run_without_the_charts_scenario_has_no_chart(tmp_path: Path) -> None:
    measured = run([sample("callboard", STREAM)], scenarios=(STREAM,), versions=VERSIONS)
    assert drawn(measured) is None
    assert "results.svg" not in report(measured)
    assert [each.name for each in write_report(measured, tmp_path)] == ["RESULTS.md"]


def test_report_and_chart_are_written_to_a_new_folder(tmp_path: Path) -> None:
    for written in write_report(compared(), tmp_path / "new"):
        assert written.exists()
    assert (tmp_path / "new" / "RESULTS.md").read_text() == report(compared())
    assert ET.parse(tmp_path / "new" / "results.svg").getroot().tag.endswith("svg")


def test_what_was_measured_can_be_kept_and_reported_again() -> None:
    again = msgspec.json.decode(msgspec.json.encode(compared()), type=Run)
    assert report(again) == report(compared())
