"""From tallies to figures."""

from __future__ import annotations

import pytest

from callboard.bench.histogram import Histogram
from callboard.bench.report import Ratios, distribution, latency_curve, measure, ratios, requests_rate
from callboard.bench.tally import Tally
from tests.bench.target import outcome

SECOND = 1_000_000_000


def open_tally(*ended_ms: float, window_ms: float = 1000, latency_ms: float = 10) -> Tally:
    """An open loop's window from 1 s on, in which requests were over at these times."""
    tally = Tally()
    tally.began_ns = SECOND
    tally.horizon_ns = SECOND + round(window_ms * 1e6)
    for at in ended_ms:
        tally.add(outcome(due_ms=at - latency_ms, ended_ms=at))
    return tally


def closed_tally(*latencies_ms: float, workers: int = 1, busy_ms: float) -> Tally:
    tally = Tally()
    tally.began_ns = SECOND
    tally.workers = workers
    tally.busy_ns = round(busy_ms * 1e6)
    for latency in latencies_ms:
        tally.add(outcome(ended_ms=latency))
    return tally


def test_a_closed_loop_answers_as_fast_as_its_callers_were_busy() -> None:
    # Two callers, 10 ms an answer, five answers each: 200 a second however long the rest of them took.
    assert requests_rate(closed_tally(*[10] * 10, workers=2, busy_ms=100)) == pytest.approx(200)


def test_latency_does_not_look_like_a_lost_rate() -> None:
    # 10/s, each answered 400 ms after it was due: four answers come after the window, and none is lost.
    tally = open_tally(*range(400, 1400, 100), latency_ms=400)
    assert requests_rate(tally) == pytest.approx(10, rel=0.2)
    assert measure([tally]).offered_per_s == pytest.approx(10)


def test_a_target_that_falls_behind_answers_at_its_own_rate() -> None:
    # 20 were due within the second and it answers one every 100 ms.
    tally = open_tally(*range(100, 2100, 100))
    assert requests_rate(tally) == pytest.approx(10, rel=0.15)
    assert measure([tally]).offered_per_s == pytest.approx(20)


def test_answers_that_take_longer_than_the_window_are_timed_by_themselves() -> None:
    tally = open_tally(*range(5000, 6000, 100), latency_ms=5000)
    assert tally.in_time == 0
    assert requests_rate(tally) == pytest.approx(10)


def test_nothing_is_no_rate() -> None:
    assert requests_rate(Tally()) == 0
    measured = measure([Tally()])
    assert (measured.requests, measured.failed_share, measured.latency) == (0, 0, None)


def test_failures_are_a_share_of_all_and_never_a_rate() -> None:
    tally = open_tally(100, 200, 300)
    tally.add(outcome(ended_ms=350, error="http_500"))
    for _ in range(2):
        tally.skip()
    measured = measure([tally])
    assert (measured.requests, measured.succeeded, measured.failed) == (6, 3, 3)
    assert measured.failed_share == 0.5
    assert list(measured.errors.items()) == [("not_sent", 2), ("http_500", 1)]
    assert measured.requests_per_s == pytest.approx(3 / 0.9)


def test_chunks_and_tokens_go_with_the_requests() -> None:
    tally = closed_tally(busy_ms=100, workers=1)
    for _ in range(10):
        tally.add(outcome(ended_ms=10, deltas=4, tokens=6))
    measured = measure([tally])
    assert measured.requests_per_s == pytest.approx(100)
    assert measured.chunks_per_s == pytest.approx(400)
    assert measured.output_tokens_per_s == pytest.approx(600)
    assert measured.output_tokens == "reported"


def test_it_is_said_where_tokens_come_from() -> None:
    counted, mixed = Tally(), Tally()
    counted.add(outcome(ended_ms=1, deltas=4))
    mixed.add(outcome(ended_ms=1, deltas=4))
    mixed.add(outcome(ended_ms=1, tokens=4))
    assert measure([counted]).output_tokens == "counted"
    assert measure([mixed]).output_tokens == "mixed"
    assert measure([Tally()]).output_tokens == "unknown"


def test_rounds_are_merged_by_their_time() -> None:
    fast, slow = closed_tally(*[100] * 30, busy_ms=100), closed_tally(*[300] * 30, busy_ms=300)
    merged = measure([fast, slow])
    assert merged.succeeded == 60
    assert merged.requests_per_s == pytest.approx((300 * 0.1 + 100 * 0.3) / 0.4)
    assert merged.latency is not None
    assert merged.latency.count == 60
    assert merged.latency.p50_ms == pytest.approx(100, rel=0.001)
    assert merged.latency.max_ms == 300


def test_a_distribution_names_its_percentiles_in_milliseconds() -> None:
    histogram = Histogram()
    for value in range(1, 1001):
        histogram.record(value * 1_000_000)
    found = distribution(histogram)
    assert found is not None
    assert found.p50_ms == pytest.approx(500, rel=0.001)
    assert found.p90_ms == pytest.approx(900, rel=0.001)
    assert found.p95_ms == pytest.approx(950, rel=0.001)
    assert found.p99_ms == pytest.approx(990, rel=0.001)
    assert found.p99_9_ms == pytest.approx(999, rel=0.001)
    assert (found.min_ms, found.max_ms, found.mean_ms) == (1, 1000, 500.5)


def test_ratios_are_medians_of_rounds_side_by_side() -> None:
    # The machine was slow in the second round for both, and somebody else was in the third.
    ours = [measure([closed_tally(*[10.0] * 10, busy_ms=busy)]) for busy in (100, 1000, 5000)]
    theirs = [measure([closed_tally(*[20.0] * 10, busy_ms=busy)]) for busy in (200, 2000, 1)]
    found = ratios(ours, theirs)
    assert found.requests_per_s == pytest.approx(2)
    assert found.latency_p50 == pytest.approx(0.5, rel=0.002)


def test_what_neither_has_is_no_ratio() -> None:
    empty = [measure([Tally()])]
    assert ratios(empty, empty) == Ratios(
        requests_per_s=None,
        output_tokens_per_s=None,
        latency_p50=None,
        latency_p99=None,
        ttft_p50=None,
        gap_p50=None,
    )


def test_the_curve_of_several_rounds_ends_at_their_maximum() -> None:
    curve = latency_curve([open_tally(100, 200), open_tally(500, latency_ms=30)])
    shares, values = zip(*curve, strict=True)
    assert shares[0] == 0
    assert values[0] == pytest.approx(10, rel=0.001)
    assert values[-1] == 30
