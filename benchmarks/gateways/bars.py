"""How fast Callboard has to be, and whether it is: the bars, judged by what a run has measured.

A bar is never lowered to be met. One that is missed stays in the table; a profile tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from benchmarks.gateways.cells import NOTHING, table, times
from benchmarks.gateways.results import (
    Measure,
    Run,
    cost_figures,
    figures,
    import_s,
    measures,
    memory_figures,
    quotient,
    ratio,
    start_figures,
)
from benchmarks.gateways.scenarios import SCENARIO
from benchmarks.gateways.table import OURS, label

RELAY, ACTORS = OURS
SERVER = "callboard.cli.serve"
RATE = {"req/s", "chunks/s"}


class Check(Struct, frozen=True, kw_only=True):
    """One figure, and what it has to be.

    Attributes:
        of: The figure; None where it was not measured.
        bar: At least that where ``more`` is better, else at most.
        moonshot: What would be splendid; None where nothing was set.
    """

    what: str
    of: Callable[[Run], float | None]
    bar: float
    moonshot: float | None = None
    more: bool = False
    shown: Callable[[float], str] = times


class Bar(Struct, frozen=True, kw_only=True):
    """Some figures of one path."""

    path: str
    checks: Sequence[Check]


def bars_table(run: Run) -> str:
    """For each bar: path, bar, moonshot, what was measured, and whether it is met."""
    rows = []
    for bar in BARS:
        found = [(check, check.of(run)) for check in bar.checks]
        rows.append(
            [
                bar.path,
                _wanted(bar.checks, lambda check: check.bar),
                _wanted(bar.checks, lambda check: check.moonshot),
                "; ".join(
                    f"{check.what} {NOTHING if value is None else check.shown(value)}".strip()
                    for check, value in found
                ),
                verdict(found),
            ]
        )
    return table(["path", "bar", "moonshot", "measured", "met"], rows)


def verdict(found: Sequence[tuple[Check, float | None]]) -> str:
    """``no`` where one figure misses its bar; else `not measured` where one is missing; else what is met."""
    if any(value is not None and not _reaches(check, value, check.bar) for check, value in found):
        return "no"
    if any(value is None for _, value in found):
        return "not measured"
    high = [(check, value) for check, value in found if check.moonshot is not None]
    if high and all(
        value is not None and check.moonshot is not None and _reaches(check, value, check.moonshot)
        for check, value in high
    ):
        return "yes, and the moonshot"
    return "yes"


def _reaches(check: Check, value: float, aim: float) -> bool:
    return value >= aim if check.more else value <= aim


def _wanted(checks: Sequence[Check], aim: Callable[[Check], float | None]) -> str:
    wanted = [
        f"{check.what} {'≥' if check.more else '≤'} {check.shown(value)}".strip()
        for check in checks
        if (value := aim(check)) is not None
    ]
    return "; ".join(wanted) or NOTHING


def _against(
    ours: str, scenario: str, what: str, aims: Sequence[tuple[str, float, float | None]], note: str = ""
) -> tuple[Check, ...]:
    """Ratios of a figure of ours to those of others: whose, bar, moonshot."""
    measure: Measure = measures(SCENARIO[scenario])[what]
    return tuple(
        Check(
            what=f"{note}{label(theirs)}",
            of=partial(ratio, ours=ours, theirs=theirs, measure=measure),
            bar=bar,
            moonshot=moonshot,
            more=what in RATE,
        )
        for theirs, bar, moonshot in aims
    )


def _stored(run: Run, theirs: str) -> float | None:
    """Stored responses of ours against what another passes on, or stores where it can."""

    def rate(one: Run, name: str, scenario: str) -> float | None:
        found = figures(one, name, SCENARIO[scenario])
        return None if found is None else found.rate

    return quotient(
        run, lambda one: rate(one, RELAY, "stored-c64"), lambda one: rate(one, theirs, "unary-c64")
    )


def _conversion(run: Run) -> float | None:
    def rate(one: Run, scenario: str) -> float | None:
        found = figures(one, RELAY, SCENARIO[scenario])
        return None if found is None else found.rate

    return quotient(run, lambda one: rate(one, "responses-100-s16"), lambda one: rate(one, "stream-100-s16"))


def _workers(run: Run) -> float | None:
    def cost(one: Run, workers: int) -> float | None:
        found = cost_figures(one, RELAY, "workers", workers)
        return None if found is None else found.request_us

    return quotient(run, lambda one: cost(one, 2), lambda one: cost(one, 1))


def _ready_s(run: Run) -> float | None:
    found = start_figures(run, RELAY)
    return None if found is None else found.ready_s


def _idle(run: Run) -> float | None:
    found = start_figures(run, RELAY)
    return None if found is None else found.rss_idle


def _grown(run: Run) -> float | None:
    found = memory_figures(run, RELAY)
    return None if found is None else found.later - found.idle


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


ROUTER, NAIVE, PORTKEY, LITELLM = "vllm-router", "naive", "portkey", "litellm"
PACED = "200 paced streams"

BARS = (
    Bar(
        path="relay, c16: requests/s",
        checks=_against(
            RELAY,
            "unary-c16",
            "req/s",
            ((ROUTER, 1.0, 1.5), (NAIVE, 30, None), (PORTKEY, 40, None), (LITELLM, 200, None)),
        ),
    ),
    Bar(path="relay, c1: added p50", checks=_against(RELAY, "unary-c1", "added p50", ((ROUTER, 1.5, 0.9),))),
    Bar(
        path="relay, 20 KB prompt, c16: requests/s",
        checks=_against(RELAY, "prompt-20k-c16", "req/s", ((ROUTER, 0.8, 1.2),)),
    ),
    Bar(
        path="streamed relay, s16: chunks/s",
        checks=_against(RELAY, "stream-100-s16", "chunks/s", ((ROUTER, 1.0, 1.4),)),
    ),
    Bar(
        path="200 paced streams: CPU a chunk, p99",
        checks=(
            *_against(RELAY, "paced-200", "CPU", ((ROUTER, 2.0, 1.5),), "CPU of "),
            *_against(RELAY, "paced-200", "latency p99", ((ROUTER, 2.0, 1.0),), "p99 of "),
        ),
    ),
    Bar(
        path="actor path: Assistant turn, no store, c16: requests/s",
        checks=_against(ACTORS, "unary-c16", "req/s", ((ROUTER, 0.4, 0.6),)),
    ),
    Bar(
        path="stored /v1/responses, SQLite synced, c64: requests/s, against chat completions of",
        checks=tuple(
            Check(what=label(name), of=partial(_stored, theirs=name), bar=bar, moonshot=moonshot, more=True)
            for name, bar, moonshot in (
                (ROUTER, 0.2, 0.35),
                ("open-responses-server", 12, None),
                ("ogx", 18, None),
            )
        ),
    ),
    Bar(
        path="chat → Responses event conversion, s16: chunks/s",
        checks=(Check(what="our own relay", of=_conversion, bar=0.9, moonshot=1.0, more=True),),
    ),
    Bar(
        path="two workers, c64: CPU a request",
        checks=(Check(what="one worker", of=_workers, bar=1.1, moonshot=1.03),),
    ),
    Bar(
        path="start to ready, RSS idle, import of all that the server needs",
        checks=(
            Check(what="ready", of=_ready_s, bar=0.5, moonshot=0.25, shown=_seconds),
            Check(what="RSS", of=_idle, bar=60e6, moonshot=40e6, shown=_megabytes),
            Check(what="import", of=partial(import_s, module=SERVER), bar=0.3, moonshot=0.15, shown=_seconds),
        ),
    ),
    Bar(
        path="10,000 requests and 400 streams later: RSS since ready",
        checks=(Check(what="", of=_grown, bar=2e6, moonshot=0, shown=_megabytes),),
    ),
)
"""All of them. Ratios are medians over rounds."""
