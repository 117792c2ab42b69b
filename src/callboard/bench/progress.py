"""How it goes, for who watches: one line that changes on a terminal, a line for each turn in a pipe."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TextIO

from callboard.bench.figures import count, load_text, ms, rate, share
from callboard.bench.plan import Load, Plan, Target
from callboard.bench.report import Measured
from callboard.bench.tally import Tally

_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Writes to ``out``, which stays the caller's; None keeps silent.

    Attributes:
        terminal: Whether ``out`` obeys control sequences.
    """

    def __init__(self, out: TextIO | None, *, terminal: bool) -> None:
        self.terminal = terminal
        self._out = out

    def begin(self, plan: Plan, target: Target, load: Load, round_number: int) -> str:
        """A turn begins, number ``round_number`` from 0; returns what it is called from now on."""
        round_text = f" · round {round_number + 1}/{plan.rounds}" if plan.rounds > 1 else ""
        label = f"{target.name} · {load_text(load)}{round_text}"
        if self.terminal:
            self._write(f"{_CLEAR_LINE}{label} · warming up")
        else:
            self._write(f"{label} …\n")
        return label

    def tick(self, label: str, tally: Tally) -> None:
        """The turn goes on. Cheap: this runs on the loader's own core."""
        if not self.terminal:
            return
        seconds = (perf_counter_ns() - tally.began_ns) / 1e9
        if seconds > 0:
            done = f"{count(tally.succeeded)} answered · {count(tally.failed)} failed"
            mean = f" · mean {ms(tally.latency.mean() / 1e6)} ms" if tally.succeeded else ""
            self._write(f"{_CLEAR_LINE}{label} · {seconds:.0f} s · {done}{mean}")

    def end(self, label: str, measured: Measured) -> None:
        """The turn is over."""
        figures = f"{rate(measured.requests_per_s)} requests/s · {share(measured.failed_share)} failed"
        if measured.latency is not None:
            figures += f" · p50 {ms(measured.latency.p50_ms)} ms · p99 {ms(measured.latency.p99_ms)} ms"
        self._write(f"{_CLEAR_LINE if self.terminal else ''}{label} · {figures}\n")

    def _write(self, text: str) -> None:
        if self._out is not None:
            self._out.write(text)
            self._out.flush()
