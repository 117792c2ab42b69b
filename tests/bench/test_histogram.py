"""The histogram, against exact percentiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.bench.histogram import Histogram, merged

DURATIONS = st.integers(0, 10**15) | st.integers(0, 5000)
PERCENTS = st.integers(1, 1000)  # in tenths of a percent


def recorded(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(DURATIONS, min_size=1, max_size=200), PERCENTS)
def test_percentiles_are_exact_to_three_digits_and_never_too_low(values: list[int], tenths: int) -> None:
    exact = sorted(values)[max(1, -(-tenths * len(values) // 1000)) - 1]
    found = recorded(values).percentile(tenths / 10)
    assert exact <= found <= exact + exact // 1024


@given(st.lists(st.integers(0, 2047), min_size=1), PERCENTS)
def test_small_values_are_exact(values: list[int], tenths: int) -> None:
    exact = sorted(values)[max(1, -(-tenths * len(values) // 1000)) - 1]
    assert recorded(values).percentile(tenths / 10) == exact


@given(st.lists(DURATIONS, min_size=1))
def test_the_ends_and_the_mean_are_exact(values: list[int]) -> None:
    histogram = recorded(values)
    assert (histogram.min, histogram.max, histogram.count) == (min(values), max(values), len(values))
    assert histogram.mean() == pytest.approx(sum(values) / len(values))
    assert histogram.percentile(100) == max(values)


@given(st.lists(st.lists(DURATIONS), max_size=4))
def test_merging_is_recording_everything_in_one(parts: list[list[int]]) -> None:
    whole = recorded([value for part in parts for value in part])
    joined = merged(recorded(part) for part in parts)
    shares = (0.0, 0.5, 0.9, 0.99, 1.0)
    assert joined.quantiles(shares) == whole.quantiles(shares)
    assert (joined.min, joined.max, joined.count) == (whole.min, whole.max, whole.count)
    assert joined.mean() == whole.mean()


def test_merging_leaves_its_parts_alone() -> None:
    part = recorded([1, 2])
    merged([part, part])
    assert part.count == 2
    assert part.percentile(100) == 2


@pytest.mark.parametrize("power", range(1, 50))
def test_buckets_join_without_gap_at_powers_of_two(power: int) -> None:
    for value in (2**power - 1, 2**power, 2**power + 1):
        histogram = recorded([value, 2**60])
        assert value <= histogram.percentile(50) <= value + value // 1024


@given(st.lists(DURATIONS, min_size=1, max_size=200))
def test_the_curve_rises_to_the_maximum(values: list[int]) -> None:
    curve = recorded(values).curve()
    shares = [share for share, _ in curve]
    heights = [value for _, value in curve]
    assert shares == sorted(shares)
    assert heights == sorted(heights)
    assert shares[0] == 0
    assert shares[-1] < 1
    assert heights[-1] == max(values)


def test_the_curve_reaches_as_far_as_the_count_allows() -> None:
    share, value = recorded(list(range(1000))).curve()[-1]
    assert share == pytest.approx(0.999)
    assert value == 999


def test_nothing_recorded_is_zero_throughout() -> None:
    histogram = Histogram()
    assert histogram.percentile(99) == histogram.max == histogram.min == 0
    assert math.isclose(histogram.mean(), 0)
    assert histogram.curve() == []


def test_negative_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Histogram().record(-1)
