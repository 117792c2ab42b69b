"""What is said while a benchmark runs."""

from __future__ import annotations

import io
from time import perf_counter_ns

from callboard.bench.plan import ClosedLoop, Plan, Window
from callboard.bench.progress import Progress
from callboard.bench.report import measure
from callboard.bench.tally import Tally
from tests.bench.results import A, tally_of

LOAD = ClosedLoop(concurrency=2)
PLAN = Plan(targets=(A,), steps=(LOAD,), window=Window(count=1), rounds=3)


def told(*, terminal: bool) -> str:
    out = io.StringIO()
    progress = Progress(out, terminal=terminal)
    label = progress.begin(PLAN, A, LOAD, 1)
    tally = Tally()
    tally.began_ns = perf_counter_ns()
    tally.skip()
    progress.tick(label, tally)
    progress.end(label, measure([tally_of(load=LOAD)]))
    return out.getvalue()


def test_a_pipe_gets_a_line_for_each_beginning_and_end() -> None:
    begin, end = told(terminal=False).splitlines()
    assert begin == "ours · closed loop, 2 at once · round 2/3 …"
    assert end.startswith(
        "ours · closed loop, 2 at once · round 2/3 · 100 requests/s · 0 % failed · p50 10.0 ms"
    )


def test_a_terminal_gets_one_line_that_changes() -> None:
    text = told(terminal=True)
    assert text.count("\n") == 1
    assert text.count("\r\x1b[K") == 3
    assert "0 answered · 1 failed" in text
