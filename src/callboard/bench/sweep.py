"""Rates raised step by step until a target is saturated: which rates, and when to stop."""

from __future__ import annotations

from itertools import pairwise

from callboard.bench.report import Measured
from callboard.errors import ConfigurationError

SUSTAINED_SHARE = 0.95
"""A target that answers fewer than this share of what was due is saturated."""

MAX_STEPS = 1000


def rates_of(text: str) -> tuple[float, ...]:
    """The rates that ``FROM:TO:STEP``, or a list with commas, names; requests per second, ascending.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        if ":" in text:
            first, last, step = (float(word) for word in text.split(":"))
            steps = int((last - first) / step + 1e-9) + 1 if step > 0 else 0
            rates = tuple(first + number * step for number in range(min(steps, MAX_STEPS + 1)))
        else:
            rates = tuple(float(word) for word in text.split(","))
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"--sweep {text}: expected FROM:TO:STEP or RATE,RATE,...") from error
    ascending = all(low < high for low, high in pairwise(rates))
    if not rates or not 0 < rates[0] <= rates[-1] < float("inf") or not ascending:
        raise ConfigurationError(f"--sweep {text}: the rates must be positive and rise")
    if len(rates) > MAX_STEPS:
        raise ConfigurationError(f"--sweep {text}: more than {MAX_STEPS} steps")
    return rates


def sustained(measured: Measured, max_failures: float) -> bool:
    """Whether a target kept up: few failures, and in an open loop an answer for nearly all that was due.

    What was really due is what counts, not the mean rate that a Poisson process was asked for.
    """
    if not measured.requests or measured.failed_share > max_failures:
        return False
    due = measured.offered_per_s
    return due is None or measured.requests_per_s >= SUSTAINED_SHARE * due
