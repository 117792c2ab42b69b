"""Arrival processes."""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import fmean, stdev

import pytest

from callboard.bench.arrivals import arrivals
from callboard.bench.plan import Arrivals


def first(count: int, kind: Arrivals, rate: float, seed: int = 0) -> list[float]:
    return list(islice(arrivals(kind, rate, seed), count))


def test_constant_arrivals_are_a_metronome_from_zero() -> None:
    assert first(4, "constant", 4.0) == [0.0, 0.25, 0.5, 0.75]


def test_constant_arrivals_do_not_drift() -> None:
    assert first(1_000_001, "constant", 3.0)[-1] == pytest.approx(1_000_000 / 3, rel=1e-12)


def test_the_same_seed_gives_the_same_poisson_arrivals() -> None:
    assert first(100, "poisson", 50.0, seed=7) == first(100, "poisson", 50.0, seed=7)


def test_another_seed_gives_other_poisson_arrivals() -> None:
    assert first(100, "poisson", 50.0, seed=7) != first(100, "poisson", 50.0, seed=8)


def test_poisson_arrivals_have_the_rate_and_the_scatter_of_their_kind() -> None:
    times = first(20_001, "poisson", 50.0, seed=1)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert min(pauses) >= 0
    assert fmean(pauses) == pytest.approx(1 / 50, rel=0.03)
    # An exponential distribution's standard deviation equals its mean.
    assert stdev(pauses) == pytest.approx(fmean(pauses), rel=0.05)
