"""A histogram of durations that keeps three significant digits from a nanosecond to days, in bounded memory.

Buckets are log-linear: values below 2,048 have one each, and from there on every power of two is divided into
1,024 buckets, so none is wider than a thousandth of what it holds. That is the layout of HdrHistogram at
three digits. Percentiles are the smallest recorded value, to that precision, that so large a share does not
exceed; they never come out below the exact one.

Source: G. Tene, HdrHistogram (hdrhistogram.org), "high dynamic range" bucket layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_DIGIT_BITS = 10  # 2**10 buckets in each power of two: a width of at most 1/1024
_EXACT_BITS = _DIGIT_BITS + 1


class Histogram:
    """Counts of non-negative integers, for us nanoseconds.

    Attributes:
        count: Values recorded.
        total: Their exact sum.
        min: The smallest, exact; 0 while there is none.
        max: The largest, exact; 0 while there is none.
    """

    __slots__ = ("_counts", "count", "max", "min", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.min = 0
        self.max = 0

    def record(self, value: int) -> None:
        """Count one value.

        Raises:
            ValueError: It is negative.
        """
        if value < 0:
            raise ValueError("a duration is not negative")
        shift = value.bit_length() - _EXACT_BITS
        bucket = value if shift <= 0 else (shift << _DIGIT_BITS) + (value >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        if not self.count or value < self.min:
            self.min = value
        if value > self.max:  # noqa: PLR1730 - half the cost of max(), once for every chunk
            self.max = value
        self.count += 1
        self.total += value

    def mean(self) -> float:
        """The exact mean; 0 while there is nothing."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """The value that ``percent`` of all do not exceed; 0 while there is nothing."""
        return self.quantiles((percent / 100,))[0]

    def quantiles(self, shares: Sequence[float]) -> list[int]:
        """The values at ``shares`` (0 to 1, ascending), in one walk over the buckets."""
        if not self.count:
            return [0] * len(shares)
        found: list[int] = []
        buckets = iter(sorted(self._counts.items()))
        seen, bucket = 0, 0
        for share in shares:
            # The product of a share and a count may lie a rounding error above the whole number it should be.
            rank = max(1, math.ceil(share * self.count - 1e-9 * self.count))
            while seen < rank:
                bucket, count = next(buckets)
                seen += count
            found.append(max(self.min, min(_highest(bucket), self.max)))
        return found

    def curve(self, points_per_decade: int = 25) -> list[tuple[float, int]]:
        """(share, value) up to the maximum, closer together towards it: even in ``1 / (1 - share)``."""
        if not self.count:
            return []
        steps = int(math.log10(self.count) * points_per_decade)
        shares = [1 - 10 ** (-step / points_per_decade) for step in range(steps + 1)]
        shares.append(1 - 1 / self.count if self.count > 1 else 0.0)
        values = self.quantiles(shares)
        values[-1] = self.max
        return list(zip(shares, values, strict=True))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all that was recorded in several, which stay as they are."""
    whole = Histogram()
    for each in histograms:
        if not each.count:
            continue
        whole.min = min(whole.min, each.min) if whole.count else each.min
        whole.max = max(whole.max, each.max)
        whole.count += each.count
        whole.total += each.total
        for bucket, count in each._counts.items():
            whole._counts[bucket] = whole._counts.get(bucket, 0) + count
    return whole


def _highest(bucket: int) -> int:
    """The largest value that falls into a bucket."""
    shift = (bucket >> _DIGIT_BITS) - 1
    if shift <= 0:
        return bucket
    return ((bucket - (shift << _DIGIT_BITS) + 1) << shift) - 1
