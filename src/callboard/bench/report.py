"""From tallies to numbers that people compare. Pure.

**Requests per second** are those answered in full. In a closed loop: successes by the mean time that a worker
was busy, from its first question to its last answer, so neither the end of the warm-up nor the last slow
answer distorts it. In an open loop: successes within the window, by the time from the first of them to the
window's end, so that an answer's latency does not look like a lost rate, and what comes after the window does
not count. (Where answers take longer than half the window: all successes, by the time from the first to the
last of them.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Literal, TypeAlias

from msgspec import Struct

from callboard.bench.histogram import Histogram, merged
from callboard.bench.plan import Load, Target
from callboard.bench.tally import Tally

TokenSource: TypeAlias = Literal["reported", "counted", "mixed", "unknown"]
"""Where token counts come from: the target's usage, our count of deltas, both, or nowhere."""


class Distribution(Struct, frozen=True, kw_only=True):
    """Durations in milliseconds."""

    count: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


class Measured(Struct, frozen=True, kw_only=True):
    """One target under one load; see the module's docstring for the rates.

    Attributes:
        seconds: From the window's start to the last answer.
        requests: Those that were due, failed and unsent ones included.
        offered_per_s: What was due in an open loop; None in a closed one.
        latency: Whole answers, from the intended start. All durations are of requests that succeeded.
        ttft: To the first content delta of streams, to the head of other answers.
        gap: Between two content deltas of one answer.
        start_lag: How much later than intended the loader began; a part of ``latency``.
    """

    seconds: float
    requests: int
    succeeded: int
    failed: int
    failed_share: float
    errors: Mapping[str, int]
    offered_per_s: float | None
    requests_per_s: float
    chunks_per_s: float
    output_tokens_per_s: float
    output_tokens: TokenSource
    received_bytes: int
    latency: Distribution | None
    ttft: Distribution | None
    gap: Distribution | None
    start_lag: Distribution | None


class Ratios(Struct, frozen=True, kw_only=True):
    """A target by the first one: medians over rounds of the ratios within each. None: not measured."""

    requests_per_s: float | None
    output_tokens_per_s: float | None
    latency_p50: float | None
    latency_p99: float | None
    ttft_p50: float | None
    gap_p50: float | None


class StepReport(Struct, frozen=True, kw_only=True):
    """One target under one load, over all rounds.

    Attributes:
        merged: All rounds as one; rates are means over the rounds' time.
        latency_curve: Pairs of share and milliseconds, from the minimum to the maximum of all rounds.
        against_first: None for the first target itself, and where that was not measured under this load.
        sustained: Whether the target kept up.
    """

    load: Load
    rounds: tuple[Measured, ...]
    merged: Measured
    latency_curve: tuple[tuple[float, float], ...]
    against_first: Ratios | None = None
    sustained: bool


class TargetReport(Struct, frozen=True, kw_only=True):
    """All that was measured of one target.

    Attributes:
        sustained_rate: The last rate of a sweep that it kept up with; None where there is none.
    """

    target: Target
    steps: tuple[StepReport, ...]
    sustained_rate: float | None


def measure(tallies: Sequence[Tally]) -> Measured:
    """Sum up some rounds, at least one."""
    errors: Counter[str] = Counter()
    for tally in tallies:
        errors.update(tally.errors)
    succeeded = sum(tally.succeeded for tally in tallies)
    failed = errors.total()
    rate = _mean(tallies, requests_rate)
    per_success = rate / succeeded if succeeded else 0.0
    reported = sum(tally.tokens_reported for tally in tallies)
    counted = sum(tally.tokens_counted for tally in tallies)
    return Measured(
        seconds=sum(map(_seconds, tallies)),
        requests=succeeded + failed,
        succeeded=succeeded,
        failed=failed,
        failed_share=failed / (succeeded + failed) if succeeded + failed else 0.0,
        errors=dict(errors.most_common()),
        offered_per_s=_mean(tallies, _offered) if tallies[0].horizon_ns else None,
        requests_per_s=rate,
        chunks_per_s=per_success * sum(tally.deltas for tally in tallies),
        output_tokens_per_s=per_success * (reported + counted),
        output_tokens=_source(reported, counted),
        received_bytes=sum(tally.received_bytes for tally in tallies),
        latency=distribution(merged(tally.latency for tally in tallies)),
        ttft=distribution(merged(tally.ttft for tally in tallies)),
        gap=distribution(merged(tally.gap for tally in tallies)),
        start_lag=distribution(merged(tally.lag for tally in tallies)),
    )


def distribution(histogram: Histogram) -> Distribution | None:
    """A histogram of nanoseconds in figures; None where it is empty."""
    if not histogram.count:
        return None
    p50, p90, p95, p99, p99_9 = map(_ms, histogram.quantiles((0.5, 0.9, 0.95, 0.99, 0.999)))
    return Distribution(
        count=histogram.count,
        mean_ms=_ms(histogram.mean()),
        min_ms=_ms(histogram.min),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p99_9_ms=p99_9,
        max_ms=_ms(histogram.max),
    )


def latency_curve(tallies: Iterable[Tally]) -> tuple[tuple[float, float], ...]:
    """The latencies of some rounds as (share, milliseconds)."""
    whole = merged(tally.latency for tally in tallies)
    return tuple((round(share, 9), _ms(value)) for share, value in whole.curve())


def ratios(rounds: Sequence[Measured], first: Sequence[Measured]) -> Ratios:
    """Compare rounds that ran side by side."""
    pairs = list(zip(rounds, first, strict=False))
    return Ratios(
        requests_per_s=_ratio([(a.requests_per_s, b.requests_per_s) for a, b in pairs]),
        output_tokens_per_s=_ratio([(a.output_tokens_per_s, b.output_tokens_per_s) for a, b in pairs]),
        latency_p50=_ratio([(_p50(a.latency), _p50(b.latency)) for a, b in pairs]),
        latency_p99=_ratio([(_p99(a.latency), _p99(b.latency)) for a, b in pairs]),
        ttft_p50=_ratio([(_p50(a.ttft), _p50(b.ttft)) for a, b in pairs]),
        gap_p50=_ratio([(_p50(a.gap), _p50(b.gap)) for a, b in pairs]),
    )


def requests_rate(tally: Tally) -> float:
    """Successes per second of one round; see the module's docstring."""
    if not tally.horizon_ns:
        return tally.succeeded * tally.workers * 1e9 / tally.busy_ns if tally.busy_ns else 0.0
    steady_ns = tally.horizon_ns - tally.first_end_ns
    if tally.in_time and 2 * steady_ns >= tally.horizon_ns - tally.began_ns:
        return tally.in_time * 1e9 / steady_ns
    # Answers take so long that most of them come after the window: then they must come as fast as they were
    # asked.
    if tally.succeeded > 1:
        return (tally.succeeded - 1) * 1e9 / max(1, tally.last_end_ns - tally.first_end_ns)
    return tally.succeeded * 1e9 / max(1, tally.last_end_ns - tally.began_ns)


def _offered(tally: Tally) -> float:
    due = tally.succeeded + tally.failed
    return due * 1e9 / max(1, tally.horizon_ns - tally.began_ns)


def _seconds(tally: Tally) -> float:
    return max(0, tally.last_end_ns - tally.began_ns) / 1e9


def _mean(tallies: Sequence[Tally], rate: Callable[[Tally], float]) -> float:
    weights = [_seconds(tally) for tally in tallies]
    whole = sum(weights)
    weighted = sum(rate(tally) * weight for tally, weight in zip(tallies, weights, strict=True))
    return weighted / whole if whole else 0.0


def _source(reported: int, counted: int) -> TokenSource:
    if reported:
        return "mixed" if counted else "reported"
    return "counted" if counted else "unknown"


def _ms(nanoseconds: float) -> float:
    return round(nanoseconds / 1e6, 6)


def _p50(durations: Distribution | None) -> float:
    return 0.0 if durations is None else durations.p50_ms


def _p99(durations: Distribution | None) -> float:
    return 0.0 if durations is None else durations.p99_ms


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    known = [ours / theirs for ours, theirs in pairs if ours and theirs]
    return median(known) if known else None
