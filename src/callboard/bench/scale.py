"""From values to places on an axis, and which values are worth a tick. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

_STEPS = (1, 2, 5, 10)
_LOG_FROM = 20.0
_MANY_DECADES = 4


class Scale(Struct, frozen=True, kw_only=True):
    """One axis.

    Attributes:
        low: The value at its beginning.
        high: The value at its end; more than ``low``.
        log: Whether equal distances are equal ratios; then ``low`` is positive.
    """

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies: 0 at the beginning, 1 at the end."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> tuple[float, ...]:
        """Round values between beginning and end, some three to ten."""
        if not self.log:
            step = _step(self.high - self.low)
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            return tuple(round(number * step, 12) for number in range(first, last + 1))
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1,) if len(decades) > _MANY_DECADES else (1, 2, 5)
        every = (round(factor * 10.0**decade, 12) for decade in decades for factor in factors)
        return tuple(tick for tick in every if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9))


def fitting(values: Iterable[float]) -> Scale:
    """A scale on which all the positive ``values`` can be told apart, with round ends.

    It begins at 0, unless the largest value is so much larger than the smallest that only a log scale shows
    both.
    """
    known = [value for value in values if value > 0]
    if not known:
        return Scale(low=0.0, high=1.0)
    low, high = min(known), max(known)
    if high / low >= _LOG_FROM:
        return Scale(low=_round_down(low), high=_round_up(high), log=True)
    step = _step(high)
    return Scale(low=0.0, high=round(math.ceil(high / step - 1e-9) * step, 12))


def _step(extent: float) -> float:
    """The round step that divides an extent into about five."""
    raw = extent / 5
    decade = 10.0 ** math.floor(math.log10(raw))
    return decade * min(_STEPS, key=lambda step: abs(step * decade - raw))


def _round_up(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return next(step * decade for step in _STEPS if step * decade >= value * (1 - 1e-9))


def _round_down(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return next(step * decade for step in reversed(_STEPS) if step * decade <= value * (1 + 1e-9))
