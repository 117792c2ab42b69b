"""Everything that is remembered of one target under one load for one window: histograms and counts."""

from __future__ import annotations

from collections import Counter
from time import perf_counter_ns

from callboard.bench.attempt import NOT_SENT, Outcome
from callboard.bench.histogram import Histogram


class Tally:
    """See the module's docstring. Durations are of requests that succeeded.

    Attributes:
        latency: From the intended start to the end of the answer.
        ttft: From the intended start to the first content.
        gap: Between two content deltas of one answer.
        lag: From the intended start to the actual one: how late the loader itself was.
        errors: How many failed, by type.
        deltas: Content deltas.
        tokens_reported: Output tokens as the target counts them.
        tokens_counted: Deltas of streams whose usage the target does not report.
        received_bytes: Of bodies, failed ones too.
        began_ns: Start of the window.
        horizon_ns: End of an open loop's window, when its next request would be due.
        first_end_ns: When the first success was over.
        last_end_ns: When the last request was over.
        in_time: Successes that were over within the window.
        workers: A closed loop's callers that asked at all.
        busy_ns: From each one's first question to its last answer, summed.
    """

    __slots__ = (
        "began_ns",
        "busy_ns",
        "deltas",
        "errors",
        "first_end_ns",
        "gap",
        "horizon_ns",
        "in_time",
        "lag",
        "last_end_ns",
        "latency",
        "received_bytes",
        "tokens_counted",
        "tokens_reported",
        "ttft",
        "workers",
    )

    def __init__(self) -> None:
        self.latency = Histogram()
        self.ttft = Histogram()
        self.gap = Histogram()
        self.lag = Histogram()
        self.errors: Counter[str] = Counter()
        self.deltas = 0
        self.tokens_reported = 0
        self.tokens_counted = 0
        self.received_bytes = 0
        self.began_ns = 0
        self.horizon_ns = 0
        self.first_end_ns = 0
        self.last_end_ns = 0
        self.in_time = 0
        self.workers = 0
        self.busy_ns = 0

    @property
    def succeeded(self) -> int:
        """Requests that were answered in full."""
        return self.latency.count

    @property
    def failed(self) -> int:
        """Requests that were not, those never sent included."""
        return self.errors.total()

    def add(self, outcome: Outcome) -> None:
        """Count a request that is over."""
        intended, ended = outcome.intended_ns, outcome.ended_ns
        self.received_bytes += outcome.received_bytes
        self.last_end_ns = max(self.last_end_ns, ended)
        if outcome.error is not None:
            self.errors[outcome.error] += 1
            return
        if not self.first_end_ns:
            self.first_end_ns = ended
        if ended <= self.horizon_ns:
            self.in_time += 1
        self.latency.record(ended - intended)
        self.lag.record(outcome.started_ns - intended)
        if outcome.first_ns:
            self.ttft.record(outcome.first_ns - intended)
        self.deltas += outcome.deltas
        if outcome.tokens is None:
            self.tokens_counted += outcome.deltas
        else:
            self.tokens_reported += outcome.tokens
        for gap in outcome.gaps_ns:
            self.gap.record(gap)

    def skip(self) -> None:
        """Count a request that was due and could not be sent."""
        self.errors[NOT_SENT] += 1

    def cut(self) -> None:
        """The window ends now, if it has not ended before."""
        self.horizon_ns = min(self.horizon_ns, perf_counter_ns())
