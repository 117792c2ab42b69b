"""Results to show: documents made of tallies made of outcomes."""

from __future__ import annotations

from callboard.bench.document import Document, Machine
from callboard.bench.plan import ClosedLoop, Load, OpenLoop, Plan, Target, Window
from callboard.bench.rounds import report_of
from callboard.bench.tally import Tally
from tests.bench.target import outcome

A = Target(name="ours", url="http://a/v1/chat/completions")
B = Target(name="<theirs> & co", url="http://b/v1/chat/completions")


def tally_of(factor: float = 1.0, *, load: Load, lag_ms: float = 0, errors: int = 0) -> Tally:
    """A second in which 100 streams were answered, the slower ones ten times as slowly as the rest."""
    tally = Tally()
    tally.began_ns = 1_000_000_000
    if isinstance(load, OpenLoop):
        tally.horizon_ns = 2_000_000_000
    tally.workers, tally.busy_ns = 1, 1_000_000_000
    for number in range(100):
        took = factor * (10 if number % 20 else 100)
        due = number * 10
        tally.add(
            outcome(
                due_ms=due,
                lag_ms=lag_ms,
                first_ms=due + took / 2,
                ended_ms=due + took,
                deltas=3,
                gaps_ms=(took / 4, took / 4),
                tokens=5 if factor == 1 else None,
            )
        )
    for _ in range(errors):
        tally.add(outcome(ended_ms=999, error="http_429"))
    return tally


def document_of(
    *loads: Load, targets: tuple[Target, ...] = (A, B), interrupted: bool = False, **tally: float
) -> Document:
    """A result of one round; the second target is half as fast, and several loads are a sweep."""
    plan = Plan(
        targets=targets,
        model="m",
        stream=True,
        steps=loads or (ClosedLoop(concurrency=1),),
        sweep=len(loads) > 1,
        window=Window(warmup_s=1, duration_s=1),
    )
    lag_ms, errors = tally.get("lag_ms", 0), int(tally.get("errors", 0))
    tallies = {
        (step, target.name): [tally_of(1 + number, load=load, lag_ms=lag_ms, errors=errors * step)]
        for step, load in enumerate(plan.steps)
        for number, target in enumerate(targets)
    }
    return Document(
        started_at="2026-11-01T12:00:00+00:00",
        interrupted=interrupted,
        plan=plan,
        machine=Machine(system="System 1", architecture="arch", processor="Chip & Co", cores=2),
        versions={"python": "3"},
        targets=tuple(report_of(plan, {} if interrupted else tallies)),
    )
