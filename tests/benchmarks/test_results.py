"""Figures are medians over rounds, ratios are taken within rounds."""

import pytest

from benchmarks.gateways.loader import Latency
from benchmarks.gateways.results import added, figures, measures, ratio, start_figures
from benchmarks.gateways.scenarios import Scenario
from tests.benchmarks.runs import STREAM, UNARY, latency, run, sample, start

RATE = measures(UNARY)["req/s"]


def test_figures_are_medians_over_rounds() -> None:
    measured = run(
        samples=[
            sample(number=1, rate=100, requests=1_000, cpu_s=1.0, p50=10),
            sample(number=2, rate=300, requests=1_000, cpu_s=3.0, p50=30),
            sample(number=3, rate=110, requests=1_000, cpu_s=1.2, p50=20),
            sample(gateway="other", number=1, rate=9_999),
        ]
    )
    found = figures(measured, "ours", UNARY)
    assert found is not None
    assert (found.rate, found.cpu_us, found.latency.p50) == (110, 1_200, 20)


def test_streams_are_counted_in_chunks() -> None:
    measured = run(samples=[sample(scenario=STREAM, rate=50_000, chunks=100_000, cpu_s=0.5)])
    found = figures(measured, "ours", STREAM)
    assert found is not None
    assert (found.rate, found.cpu_us) == (50_000, 5)


def test_paced_streams_show_the_latency_of_chunks() -> None:
    paced = Scenario(
        name="paced", title="p", model="mock-paced-5ms-10", pace_s=0.005, chunks=10, unit="chunks/s"
    )
    measured = run(samples=[sample(scenario=paced, p50=7_000, chunk_p50=70)], scenarios=[paced])
    found = figures(measured, "ours", paced)
    assert found is not None
    assert found.latency.p50 == 70


def test_what_was_not_measured_has_no_figures() -> None:
    assert figures(run(), "ours", UNARY) is None
    assert start_figures(run(), "ours") is None


def test_nothing_answered_costs_nothing_and_divides_nothing() -> None:
    found = figures(run(samples=[sample(rate=0, requests=0, errors={"status": 5})]), "ours", UNARY)
    assert found is not None
    assert (found.rate, found.cpu_us, found.errors) == (0, 0, {"status": 5})


def test_errors_are_summed_by_kind_and_none_is_not_named() -> None:
    samples = [
        sample(number=1, errors={"status": 2, "broken": 0}),
        sample(number=2, errors={"status": 1, "closed": 4}),
    ]
    found = figures(run(samples=samples), "ours", UNARY)
    assert found is not None
    assert found.errors == {"closed": 4, "status": 3}


def test_what_the_upstream_was_asked_beyond_the_answers_is_known() -> None:
    found = figures(
        run(samples=[sample(requests=100, errors={"status": 3}, upstream_requests=110)]), "ours", UNARY
    )
    assert found is not None
    assert found.repeated == 7


def test_the_core_is_shared_out_between_us_and_others() -> None:
    found = figures(run(samples=[sample(cpu_s=1.5, core_busy_s=2.0, total_s=2.0)]), "ours", UNARY)
    assert found is not None
    assert (found.busy, found.disturbed) == (0.75, 0.25)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # A disturbed second round slowed both down: the ratio of medians would say 1.0.
    samples = [
        *(sample(number=number, rate=rate) for number, rate in ((1, 200), (2, 20), (3, 300))),
        *(sample("anchor", number=number, rate=rate) for number, rate in ((1, 100), (2, 10), (3, 200))),
    ]
    measured = run(samples=samples)
    assert ratio(measured, "ours", "anchor", RATE) == 2
    assert ratio(measured, "ours", "nobody", RATE) is None


def test_a_ratio_to_nothing_is_none() -> None:
    measured = run(samples=[sample(rate=5), sample("anchor", rate=0)])
    assert ratio(measured, "ours", "anchor", RATE) is None


def test_what_ratios_are_taken_of_is_what_a_scenario_is_about() -> None:
    one = Scenario(name="c1", title="c1", saturates=False)
    fixed = Scenario(name="rate", title="r", rate=10, saturates=False)
    paced = Scenario(
        name="paced", title="p", model="mock-paced-5ms-10", pace_s=0.005, chunks=10, unit="chunks/s"
    )
    assert list(measures(UNARY)) == ["req/s", "CPU"]
    assert list(measures(STREAM)) == ["chunks/s", "CPU"]
    assert list(measures(one)) == ["req/s", "CPU", "added p50"]
    assert list(measures(fixed)) == ["CPU", "added p50"]
    assert list(measures(paced)) == ["CPU", "latency p50", "latency p99"]


def test_a_ratio_of_added_latency_leaves_out_what_there_is_without_a_gateway() -> None:
    one = Scenario(name="c1", title="c1", saturates=False)
    samples = [sample("direct", one, p50=20), sample("ours", one, p50=80), sample("anchor", one, p50=60)]
    measured = run(samples=samples, scenarios=[one])
    assert ratio(measured, "ours", "anchor", measures(one)["added p50"]) == 1.5


def test_starts_are_medians_too() -> None:
    starts = [start(ready_s=0.2, idle=10, after=30), start(ready_s=0.4, idle=20, after=50)]
    found = start_figures(run(starts=starts), "ours")
    assert found is not None
    assert found.ready_s == pytest.approx(0.3)
    assert (found.rss_idle, found.rss_after) == (15, 40)


def test_added_latency_is_the_difference_at_each_percentile() -> None:
    through: Latency = latency(p50=50, p95=80, p99=130)
    assert added(through, latency(p50=20, p95=30, p99=100)) == (30, 50, 30)
