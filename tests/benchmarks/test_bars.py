"""The bars are those that were set, and the verdict on each is the figures'."""

import pytest

from benchmarks.gateways.bars import BARS, Check, bars_table, verdict
from benchmarks.gateways.results import Cost, Import, Memory, Run
from benchmarks.gateways.scenarios import SCENARIO
from tests.benchmarks.runs import run, sample, start

LOW = Check(what="x", of=lambda _: None, bar=1.5, moonshot=0.9)
HIGH = Check(what="x", of=lambda _: None, bar=0.4, moonshot=0.6, more=True)
PLAIN = Check(what="x", of=lambda _: None, bar=30, more=True)


def rows(measured: Run) -> dict[str, list[str]]:
    lines = bars_table(measured).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in cells}


def cost(workers: int, request_us: float, number: int = 1) -> Cost:
    return Cost(
        gateway="callboard", grows="workers", size=workers, round=number, request_us=request_us, chunk_us=1
    )


@pytest.mark.parametrize(
    "check,value,said",
    [
        (LOW, 1.6, "no"),
        (LOW, 1.5, "yes"),
        (LOW, 0.9, "yes, and the moonshot"),
        (LOW, None, "not measured"),
        (HIGH, 0.39, "no"),
        (HIGH, 0.4, "yes"),
        (HIGH, 0.6, "yes, and the moonshot"),
        (PLAIN, 30.0, "yes"),
    ],
)
def test_a_figure_is_judged_from_its_better_side(check: Check, value: float | None, said: str) -> None:
    assert verdict([(check, value)]) == said


def test_one_miss_is_a_miss_and_one_gap_is_no_success() -> None:
    assert verdict([(LOW, None), (PLAIN, 1.0)]) == "no"
    assert verdict([(LOW, None), (PLAIN, 99.0)]) == "not measured"
    assert verdict([(LOW, 0.5), (PLAIN, 99.0)]) == "yes, and the moonshot"
    assert verdict([(LOW, 0.5), (HIGH, 0.5)]) == "yes"


def test_a_ratio_is_shown_with_its_bar_and_its_moonshot() -> None:
    samples = [
        sample("callboard", SCENARIO["unary-c16"], rate=1_200),
        sample("vllm-router", SCENARIO["unary-c16"], rate=1_000),
        sample("naive", SCENARIO["unary-c16"], rate=50),
    ]
    wanted, moonshot, measured, met = rows(run(samples))["relay, c16: requests/s"]
    assert wanted.startswith("vllm-router (Rust) ≥ 1.00×; Starlette + httpx, with sniffio ≥ 30×; ")
    assert moonshot == "vllm-router (Rust) ≥ 1.50×"
    assert measured.startswith(
        "vllm-router (Rust) 1.20×; Starlette + httpx, with sniffio 24×; Portkey (Node) –"
    )
    assert met == "no"


def test_conversion_is_compared_with_our_own_relay() -> None:
    samples = [
        sample("callboard", SCENARIO["responses-100-s16"], rate=95),
        sample("callboard", SCENARIO["stream-100-s16"], rate=100),
    ]
    path = "chat → Responses event conversion, s16: chunks/s"
    assert rows(run(samples))[path] == [
        "our own relay ≥ 0.90×",
        "our own relay ≥ 1.00×",
        "our own relay 0.95×",
        "yes",
    ]


def test_two_workers_are_compared_with_one_round_by_round() -> None:
    costs = [cost(1, 100), cost(2, 104), cost(1, 300, 2), cost(2, 318, 2), cost(1, 50, 3), cost(2, 75, 3)]
    assert rows(run(aside=costs))["two workers, c64: CPU a request"][2:] == ["one worker 1.06×", "yes"]


def test_start_memory_and_imports_are_judged_in_their_units() -> None:
    measured = run(
        starts=[start("callboard", ready_s=0.26, idle=41_900_000)],
        aside=[
            Import(module="callboard", round=1, seconds=9),
            Import(module="callboard.cli.serve", round=1, seconds=0.14),
            Memory(gateway="callboard", round=1, idle=41_900_000, warm=43_000_000, later=44_000_000),
        ],
    )
    found = rows(measured)
    start_row = found["start to ready, RSS idle, import of all that the server needs"]
    assert start_row[2:] == ["ready 0.26 s; RSS 41.9 MB; import 0.14 s", "yes"]
    assert found["10,000 requests and 400 streams later: RSS since ready"] == [
        "≤ 2.0 MB",
        "≤ 0.0 MB",
        "2.1 MB",
        "no",
    ]


def test_without_a_run_nothing_is_met() -> None:
    assert {line[-1] for line in rows(run()).values()} == {"not measured"}
    assert len(rows(run())) == len(BARS) == 11
