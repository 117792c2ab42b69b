"""Rates, and when a target is saturated."""

from __future__ import annotations

import pytest

from callboard.bench.report import measure
from callboard.bench.sweep import rates_of, sustained
from callboard.bench.tally import Tally
from callboard.errors import ConfigurationError
from tests.bench.target import outcome
from tests.bench.test_report import closed_tally, open_tally


@pytest.mark.parametrize(
    "text, rates",
    [
        ("100:300:100", (100, 200, 300)),
        ("100:299:100", (100, 200)),
        ("0.1:0.3:0.1", (0.1, 0.2, pytest.approx(0.3))),
        ("5:5:1", (5,)),
        ("10,50,200.5", (10, 50, 200.5)),
        ("10", (10,)),
    ],
)
def test_rates_are_a_range_or_a_list(text: str, rates: tuple[float, ...]) -> None:
    assert rates_of(text) == rates


@pytest.mark.parametrize(
    "text",
    ["", "a", "1:2", "1:2:3:4", "1:5:0", "1:5:-1", "0:5:1", "5:1:1", "-1,2", "2,1", "1,1", "1,inf", "1,nan"],
)
def test_what_is_no_rising_row_of_rates_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--sweep"):
        rates_of(text)


@pytest.mark.parametrize("text", ["1:1e9:1", "1:inf:1"])
def test_a_sweep_without_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--sweep"):
        rates_of(text)


def test_a_target_that_answers_what_is_due_keeps_up() -> None:
    assert sustained(measure([open_tally(*range(10, 1010, 10))]), 0.0)


def test_a_target_that_answers_less_than_is_due_does_not() -> None:
    assert not sustained(measure([open_tally(*range(10, 1310, 13))]), 0.0)


def test_failures_up_to_the_share_are_forgiven() -> None:
    tally = open_tally(*range(10, 1000, 10))
    tally.add(outcome(ended_ms=1000, error="http_500"))
    assert sustained(measure([tally]), 0.01)
    assert not sustained(measure([tally]), 0.009)


def test_a_closed_loop_has_no_rate_to_fall_short_of() -> None:
    assert sustained(measure([closed_tally(10, busy_ms=1000)]), 0.0)


def test_nothing_measured_is_nothing_sustained() -> None:
    assert not sustained(measure([Tally()]), 1.0)
