"""Token buckets and day windows in integer arithmetic: pure, exact, time is an argument.

Theory of operation. A `Bucket` refills continuously. Its level counts fractions of a unit so fine (at most
``period_ns`` of them) that each nanosecond adds a whole number: nothing is ever rounded and nothing drifts.

What is taken may come back, because a call reserves more than it turns out to need. Giving back naively would
break the promise *taken in any window ≤ capacity + rate · t*: reserve all, let the bucket refill, reserve all
again, give the first back, and twice the capacity can go out at once. So each holder keeps a *share*: what it
took and refill has not yet paid for. The rule is one line: ``level + shares ≤ capacity``. Refill that would
exceed it eats the oldest shares first, and a holder gets back at most its share.

Clocks may step. Time that goes back refills nothing and costs nothing; refill goes on from the new reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import gcd

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000


class Meter(ABC):
    """A level that is taken from, given back to, and rises with time.

    Args:
        capacity: The most that can be taken at once, in units; also what a new meter holds.
        unit: Level per unit; the scale that keeps refill in integers.
        now: Clock reading in ns.
    """

    __slots__ = ("_ceiling", "_held", "_level", "_shares", "_then", "_unit", "capacity")

    def __init__(self, *, capacity: int, unit: int, now: int) -> None:
        self.capacity = capacity
        self._unit = unit
        self._ceiling = self._level = capacity * unit
        self._held = 0  # the sum of _shares
        self._shares: dict[int, int] = {}  # by holder, oldest first
        self._then = now

    @abstractmethod
    def _advance(self, now: int) -> None:
        """Bring level and shares up to ``now``."""

    @abstractmethod
    def _rise(self, need: int, now: int) -> int:
        """The first instant at which the level has risen by ``need`` > 0; called after `_advance`."""

    def available(self, now: int) -> int:
        """Whole units that can be taken at ``now``; zero while in debt."""
        self._advance(now)
        return max(self._level // self._unit, 0)

    def fits(self, n: int, now: int) -> bool:
        """Whether ``n`` units can be taken at ``now``. Nothing always fits, even in debt."""
        self._advance(now)
        return self._level >= n * self._unit or n == 0

    def try_take(self, n: int, holder: int, now: int) -> bool:
        """Take ``n`` units if they fit, nothing otherwise; ``holder`` must hold nothing of this meter yet."""
        self._advance(now)
        amount = n * self._unit
        if amount > self._level and n:
            return False
        self._level -= amount
        self._held += amount
        self._shares[holder] = amount
        return True

    def earliest(self, n: int, now: int, *, ahead: int = 0) -> int | None:
        """The first instant (ns) at which ``n`` units fit, once ``ahead`` units were taken by others.

        Returns:
            ``now`` or later, on the assumption that the clock runs forward; None where ``n`` is more than the
            capacity, so that it never fits.
        """
        if n > self.capacity:
            return None
        self._advance(now)
        need = (n + ahead) * self._unit - self._level
        return now if need <= 0 or n == 0 else self._rise(need, now)

    def settle(self, holder: int, unused: int, now: int) -> None:
        """End what ``holder`` took, ``unused`` units of which it did not need.

        A negative ``unused`` is what it needed on top; the level may fall below zero, a debt that time pays.
        """
        if unused:  # what comes back depends on what refill has paid for until now
            self._advance(now)
        share = self._shares.pop(holder, 0)
        self._held -= share
        if unused:
            back = unused * self._unit
            self._level += back if back < share else share  # noqa: FURB136 - min() costs as much as the rest

    def is_full(self, now: int) -> bool:
        """Whether forgetting this meter and making a new one would change nothing."""
        self._advance(now)
        return self._level == self._ceiling and not self._shares

    def _spill(self, over: int) -> None:
        """Take ``over``, less than all that is held, from the oldest shares."""
        shares = self._shares
        self._held -= over
        while over:
            holder, share = next(iter(shares.items()))
            if share > over:
                shares[holder] = share - over
                return
            del shares[holder]
            over -= share


class Bucket(Meter):
    """A token bucket: ``rate`` units per ``period_ns``, refilled continuously up to ``capacity``."""

    __slots__ = ("_rate",)

    def __init__(self, rate: int, capacity: int, now: int, *, period_ns: int = MINUTE_NS) -> None:
        scale = gcd(rate, period_ns)  # round rates have small levels, and small integers are fast
        super().__init__(capacity=capacity, unit=period_ns // scale, now=now)
        self._rate = rate // scale

    def _advance(self, now: int) -> None:
        elapsed = now - self._then
        if elapsed:
            self._then = now
            if elapsed > 0:
                level = self._level + elapsed * self._rate
                held = self._held
                over = level + held - self._ceiling
                if over > 0:
                    if over < held:
                        self._spill(over)
                    else:  # refill has paid for everything, and what is more is lost
                        level = self._ceiling
                        if held:
                            self._held = 0
                            self._shares.clear()
                self._level = level

    def _rise(self, need: int, now: int) -> int:
        return now + -(-need // self._rate)


class DayWindow(Meter):
    """A budget per UTC day: whole again at midnight, less what was overspent.

    Money uses this form, not `Bucket`: who grants ten dollars a day means that no day costs more than ten. A
    bucket would let up to twenty go in one day. Clock readings are ns since the Unix epoch. A clock that
    steps back over midnight does not bring the old day back.
    """

    __slots__ = ("_midnight",)

    def __init__(self, budget: int, now: int) -> None:
        super().__init__(capacity=budget, unit=1, now=now // DAY_NS)
        self._midnight = (self._then + 1) * DAY_NS

    def _advance(self, now: int) -> None:
        if now >= self._midnight:
            days = now // DAY_NS - self._then  # _then is the number of the day
            self._then += days
            self._midnight += days * DAY_NS
            self._level = min(self._level + days * self._ceiling, self._ceiling)
            self._shares.clear()
            self._held = 0

    def _rise(self, need: int, now: int) -> int:
        return (self._then + -(-need // self._ceiling)) * DAY_NS
