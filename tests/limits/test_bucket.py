"""Token buckets and day windows: exact to the nanosecond, never over, never lost."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.limits.bucket import DAY_NS, MINUTE_NS, Bucket, DayWindow
from tests.limits.exact import ExactMeter

RATES = st.integers(1, 10_000_019)


@given(rate=RATES, steps=st.lists(st.integers(1, 10**10), max_size=30))
def test_refill_never_drifts_however_often_it_is_looked_at(rate: int, steps: list[int]) -> None:
    often, once = Bucket(rate, rate, 0), Bucket(rate, rate, 0)
    assert often.try_take(rate, 1, 0)
    assert once.try_take(rate, 1, 0)
    now = 0
    for step in steps:
        now += step
        often.available(now)
    assert often.available(now) == once.available(now) == min(rate * now // MINUTE_NS, rate)


@given(rate=RATES, taken=st.integers(0, 10**7), wanted=st.integers(1, 10**7))
def test_the_earliest_instant_is_the_first_at_which_it_fits(rate: int, taken: int, wanted: int) -> None:
    bucket = Bucket(rate, rate, 0)
    taken, wanted = taken % (rate + 1), wanted % rate + 1
    assert bucket.try_take(taken, 1, 0)
    at = bucket.earliest(wanted, 0)
    assert at is not None
    assert at == 0 or not bucket.fits(wanted, at - 1)
    assert bucket.fits(wanted, at)


@given(
    rate=st.integers(1, 100),
    steps=st.lists(
        st.tuples(
            st.integers(-3_600, 3_600) | st.integers(0, 9),
            st.integers(0, 60),
            st.integers(-30, 60),
            st.booleans(),
        ),
        max_size=40,
    ),
)
def test_a_bucket_agrees_with_exact_fractions(rate: int, steps: list[tuple[int, int, int, bool]]) -> None:
    bucket, exact = Bucket(rate, 50, 0), ExactMeter(50, 0, Fraction(rate, MINUTE_NS))
    now = 0
    taken: list[int] = []
    for holder, (seconds, wanted, unused, first) in enumerate(steps):
        now += seconds * 1_000_000_007
        fits = exact.fits(wanted, now)
        assert bucket.try_take(wanted, holder, now) == fits
        if fits:
            exact.take(wanted, holder)
            taken.append(holder)
        elif taken:
            oldest_or_newest = taken.pop(0 if first else -1)
            bucket.settle(oldest_or_newest, unused, now)
            exact.settle(oldest_or_newest, unused, now)
        exact.advance(now)
        assert bucket.available(now) == max(int(exact.level // 1), 0)
        assert exact.level <= 50


def test_a_request_larger_than_the_capacity_never_fits() -> None:
    assert Bucket(10, 5, 0).earliest(6, 0) is None
    assert DayWindow(5, 0).earliest(6, 0) is None


def test_others_ahead_are_served_first() -> None:
    bucket = Bucket(60, 60, 0)
    assert bucket.try_take(60, 1, 0)
    assert bucket.earliest(60, 0, ahead=100) == 160_000_000_000


def test_in_debt_only_nothing_fits() -> None:
    bucket = Bucket(60, 60, 0)
    assert bucket.try_take(60, 1, 0)
    bucket.settle(1, -30, 0)
    assert bucket.available(30_000_000_000) == 0
    assert not bucket.fits(1, 30_999_999_999)
    assert bucket.fits(1, 31_000_000_000)
    assert Bucket(60, 0, 0).fits(0, 0)


def test_reserving_refilling_and_giving_back_cannot_double_the_burst() -> None:
    bucket = Bucket(10, 10, 0)
    assert bucket.try_take(10, 1, 0)
    assert bucket.try_take(10, 2, MINUTE_NS)
    bucket.settle(1, 10, MINUTE_NS)
    assert bucket.available(MINUTE_NS) == 0
    bucket.settle(2, 10, MINUTE_NS)
    assert bucket.available(MINUTE_NS) == 10


def test_a_meter_is_full_when_nothing_is_taken_or_owed() -> None:
    bucket = Bucket(10, 10, 0)
    assert bucket.try_take(4, 1, 0)
    bucket.settle(1, 0, 0)
    assert not bucket.is_full(MINUTE_NS * 4 // 10 - 1)
    assert bucket.is_full(MINUTE_NS * 4 // 10)


@pytest.mark.parametrize("late", [0, DAY_NS - 1])
def test_a_day_window_is_whole_again_at_midnight_and_not_before(late: int) -> None:
    window = DayWindow(100, late)
    assert window.try_take(100, 1, late)
    assert window.earliest(1, late) == DAY_NS
    assert not window.fits(1, DAY_NS - 1)
    assert window.available(DAY_NS) == 100


def test_what_was_reserved_yesterday_is_not_given_back_today() -> None:
    window = DayWindow(100, 0)
    assert window.try_take(60, 1, 0)
    assert window.try_take(60, 2, DAY_NS)
    window.settle(1, 60, DAY_NS)
    assert window.available(DAY_NS) == 40


def test_a_debt_takes_as_many_days_as_it_is_worth() -> None:
    window = DayWindow(100, 0)
    assert window.try_take(100, 1, 0)
    window.settle(1, -250, 0)
    assert window.earliest(50, 0) == 3 * DAY_NS
    assert window.available(2 * DAY_NS) == 0
    assert window.available(3 * DAY_NS) == 50


def test_stepping_back_over_midnight_does_not_grant_the_day_twice() -> None:
    window = DayWindow(100, DAY_NS)
    assert window.try_take(100, 1, DAY_NS)
    assert window.available(DAY_NS - 1) == 0
    assert window.available(DAY_NS) == 0
    assert window.earliest(1, DAY_NS - 1) == 2 * DAY_NS
