"""Numbers as people read them: three significant digits, thousands apart."""

from __future__ import annotations

import math

from callboard.bench.plan import ClosedLoop, Load


def significant(value: float, digits: int = 3) -> str:
    """``value`` to so many significant digits, never with an exponent: ``0.0123``, ``12.3``, ``12,345``."""
    if not value:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > 0 and round(abs(value), decimals) >= 10 ** (digits - decimals):
        decimals -= 1  # rounding has made it one digit longer
    return f"{value:,.{max(0, decimals)}f}"


def ms(milliseconds: float) -> str:
    """A duration."""
    return significant(milliseconds)


def rate(per_second: float) -> str:
    """Things per second."""
    return significant(per_second)


def count(number: int) -> str:
    """A number of things."""
    return f"{number:,}"


def share(part: float) -> str:
    """A part of one, in percent; what is not nothing does not look like it."""
    percent = part * 100
    if 0 < percent < 0.01:
        return "<0.01 %"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + " %"


def ratio(value: float | None) -> str:
    """How many times as much; a dash where it is not known."""
    return "–" if value is None else f"{significant(value)}×"


def load_text(load: Load) -> str:
    """A load in words."""
    if isinstance(load, ClosedLoop):
        return f"closed loop, {load.concurrency} at once"
    return f"open loop, {load.rate:g}/s {load.arrivals}"


def size(amount: int) -> str:
    """A size, in the largest unit that leaves a whole number before the point."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= factor:
            return f"{significant(amount / factor)} {unit}"
    return f"{amount} B"
