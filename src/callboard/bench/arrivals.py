"""When requests are due: a pure, seeded arrival process."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random

from callboard.bench.plan import Arrivals


def arrivals(kind: Arrivals, rate: float, seed: int) -> Iterator[float]:
    """Endless start times in ascending order, in seconds after the beginning.

    Args:
        kind: ``constant`` is a metronome whose first stroke is at 0; ``poisson`` is what many independent
            callers make together: exponential pauses, so requests come in clusters.
        rate: Mean requests per second.
        seed: The same seed gives the same times.
    """
    if kind == "constant":
        return (number / rate for number in count())
    return _poisson(rate, Random(seed))  # noqa: S311 - a schedule is no secret


def _poisson(rate: float, random: Random) -> Iterator[float]:
    at = 0.0
    while True:
        at += random.expovariate(rate)
        yield at
