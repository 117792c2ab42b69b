"""Counting outcomes."""

from __future__ import annotations

from callboard.bench.tally import Tally
from tests.bench.target import outcome


def test_a_success_is_counted_from_its_intended_start() -> None:
    tally = Tally()
    tally.add(outcome(due_ms=10, lag_ms=1, first_ms=14, ended_ms=30, deltas=3, tokens=8, gaps_ms=(2, 4)))
    assert tally.succeeded == 1
    assert tally.latency.max == 20_000_000
    assert tally.ttft.max == 4_000_000
    assert tally.lag.max == 1_000_000
    assert (tally.gap.count, tally.gap.total) == (2, 6_000_000)
    assert (tally.deltas, tally.tokens_reported, tally.tokens_counted) == (3, 8, 0)


def test_deltas_stand_in_for_tokens_that_are_not_reported() -> None:
    tally = Tally()
    tally.add(outcome(ended_ms=1, deltas=3))
    assert (tally.tokens_reported, tally.tokens_counted) == (0, 3)


def test_a_failure_has_a_type_and_bytes_and_no_latency() -> None:
    tally = Tally()
    tally.add(outcome(ended_ms=5, error="http_429", deltas=1, gaps_ms=(1,)))
    assert tally.errors == {"http_429": 1}
    assert (tally.succeeded, tally.failed) == (0, 1)
    assert tally.received_bytes == 100
    assert tally.gap.count == tally.deltas == tally.first_end_ns == 0
    assert tally.last_end_ns == 1_005_000_000


def test_what_was_never_sent_is_a_failure() -> None:
    tally = Tally()
    tally.skip()
    assert tally.errors == {"not_sent": 1}
    assert tally.failed == 1


def test_successes_after_the_horizon_are_not_in_time() -> None:
    tally = Tally()
    tally.horizon_ns = 1_010_000_000
    for ended_ms in (5, 10, 11):
        tally.add(outcome(ended_ms=ended_ms))
    assert tally.in_time == 2
    assert tally.succeeded == 3
    assert tally.first_end_ns == 1_005_000_000


def test_a_window_that_is_cut_ends_now() -> None:
    tally = Tally()
    tally.horizon_ns = 2**62
    tally.cut()
    assert 0 < tally.horizon_ns < 2**62
    horizon_ns = tally.horizon_ns
    tally.cut()
    assert tally.horizon_ns == horizon_ns
