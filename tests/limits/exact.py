"""A slow and obvious limiter in exact fractions, which the real one is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from callboard.limits import Ask, LimitSpec

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000


@dataclass
class ExactMeter:
    """Level and shares in whole units, refilled by the nanosecond; ``day`` meters refill at midnight."""

    capacity: int
    now: int
    rate: Fraction | None = None  # units per ns; None for a day window
    level: Fraction = Fraction(0)
    shares: list[tuple[int, Fraction]] = field(default_factory=list)  # oldest first

    def __post_init__(self) -> None:
        self.level = Fraction(self.capacity)
        if self.rate is None:
            self.now //= DAY_NS

    def advance(self, now: int) -> None:
        if self.rate is None:
            while self.now < now // DAY_NS:
                self.now += 1
                self.level = min(self.level + self.capacity, Fraction(self.capacity))
                self.shares = []
            return
        self.level += max(now - self.now, 0) * self.rate
        self.now = now
        over = self.level + sum(share for _, share in self.shares) - self.capacity
        while over > 0 and self.shares:
            holder, share = self.shares.pop(0)
            if share > over:
                self.shares.insert(0, (holder, share - over))
            over -= min(share, over)
            # what the share lost was paid for by refill, which so does not raise the level above the ceiling
        total = sum((share for _, share in self.shares), Fraction(0))
        self.level = min(self.level, self.capacity - total)

    def fits(self, n: int, now: int) -> bool:
        self.advance(now)
        return n == 0 or self.level >= n

    def take(self, n: int, holder: int) -> None:
        self.level -= n
        self.shares.append((holder, Fraction(n)))

    def settle(self, holder: int, unused: int, now: int) -> None:
        if unused:
            self.advance(now)
        share = sum((share for name, share in self.shares if name == holder), Fraction(0))
        self.shares = [entry for entry in self.shares if entry[0] != holder]
        self.level += min(Fraction(unused), share)


class ExactGate:
    """The limits of one scope."""

    def __init__(self, spec: LimitSpec, now: int) -> None:
        self.parallel = spec.parallel
        self.in_flight = 0
        self.meters: dict[int, ExactMeter] = {}
        for index, rate in enumerate((spec.requests_per_minute, spec.tokens_per_minute)):
            if rate is not None:
                self.meters[index] = ExactMeter(rate, now, Fraction(rate, MINUTE_NS))
        if spec.cost_per_day_picousd is not None:
            self.meters[2] = ExactMeter(spec.cost_per_day_picousd, now)

    def fits(self, ask: Ask, now: int) -> bool:
        room = self.parallel is None or self.in_flight < self.parallel
        return all(meter.fits(ask.amounts[index], now) for index, meter in self.meters.items()) and room

    def never_fits(self, ask: Ask) -> bool:
        return any(ask.amounts[index] > meter.capacity for index, meter in self.meters.items())

    def take(self, ask: Ask, holder: int) -> None:
        self.in_flight += 1
        for index, meter in self.meters.items():
            meter.take(ask.amounts[index], holder)

    def settle(self, holder: int, unused: tuple[int, int, int], now: int) -> None:
        self.in_flight -= 1
        for index, meter in self.meters.items():
            meter.settle(holder, unused[index], now)
