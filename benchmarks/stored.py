"""What it costs to keep what is streamed, and to stream what was kept: the bars of stored responses.

    python -m benchmarks.stored [--rounds 5] [--seconds 2] [--streams 1000]

Callboard runs as everybody runs it, in a process of its own on a core of its own, its store on a file system
in memory, so that figures are the processor's and not a disk's. Upstream and load generator are those of
`benchmarks.gateways`. Three things are measured:

- a streamed response that is stored, against the same answer streamed as chat completion by the actor path:
  processor time of a request, in interleaved rounds; the ratio is the median of the rounds' ratios;
- resident memory of an open stream, of either kind, each in a fresh process;
- a stored response of 10,000 events that is streamed again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection

from msgspec import Struct

from benchmarks.gateways.__main__ import PEERS
from benchmarks.gateways.cells import NOTHING, table
from benchmarks.gateways.growth import held_open
from benchmarks.gateways.measure import Bench, Target, bench_of, put_load, running
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.peers.callboard import with_actors
from benchmarks.gateways.processes import Process, raise_open_files
from benchmarks.gateways.scenarios import Scenario, open_stream
from callboard.wire.sse import SseDecoder

MOST_CPU, MOST_KIB, LEAST_EVENTS = 1.6, 100.0, 100_000.0
"""The bars: times the processor time of a chat completion, for an open stream, and in a second."""

SHORT, LONG = 10, 100
"""Chunks of the answers that are compared."""
CONNECTIONS = 16

EVENTS = 10_000
AROUND_DELTAS = 8
"""Events of a response with one text besides its deltas: four before them and four after."""
READ_S = 60
SETTLE_S = 0.3
"""In which what was put off until after an answer is done: that counts, too."""
HELD_S = 5.0
"""How long all streams are open before they are weighed; each has had some twenty chunks by then."""

GATEWAY = with_actors((f"mock-stream-{SHORT}", f"mock-stream-{EVENTS - AROUND_DELTAS}"))


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table; ``met`` is None where there is no bar."""

    what: str
    measured: str
    bar: str = NOTHING
    met: bool | None = None


def main(words: Sequence[str]) -> int:
    """Print the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stored")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, of each kind in each round")
    parser.add_argument("--streams", type=int, default=1_000, help="how many are open for the memory's sake")
    options = parser.parse_args(words)
    raise_open_files()
    try:
        rows = list(measured(options.rounds, options.seconds, options.streams))
    except CannotMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(rows))
    return int(any(each.met is False for each in rows))


def report(rows: Sequence[Row]) -> str:
    """The table."""
    marks = {None: NOTHING, True: "yes", False: "no"}
    return table(
        ["stored responses", "measured", "bar", "met"],
        [[each.what, each.measured, each.bar, marks[each.met]] for each in rows],
    )


def measured(rounds: int, seconds: float, streams: int) -> Iterator[Row]:
    """Every row of the table, as it is measured."""
    with bench_of(seconds, PEERS) as bench, _reading_on(bench.machine.load_core):
        with running(bench, GATEWAY) as target:
            for chunks in (SHORT, LONG):
                yield _compared(bench, target, chunks, rounds)
            yield from _streamed_again(target, rounds)
        for dialect in ("responses", "chat"):
            with running(bench, GATEWAY) as target:
                yield _held(bench, target, dialect, streams)


@contextmanager
def _reading_on(core: int) -> Iterator[None]:
    """Keep to the load's core, for we read answers, too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _compared(bench: Bench, target: Target, chunks: int, rounds: int) -> Row:
    """What a stored response costs, streamed, against a chat completion."""
    kinds = (
        _asked("chat", f"mock-stream-{chunks}", chunks),
        _asked("responses", f"mock-stream-{chunks}", chunks),
    )
    found = [[_request_us(bench, target, kind) for kind in kinds] for _ in range(rounds + 1)][1:]
    chat, stored = (statistics.median(each) for each in zip(*found, strict=True))
    ratios = [each[1] / each[0] for each in found]
    ratio = statistics.median(ratios)
    return Row(
        what=f"CPU of a stored stream of {chunks} chunks, to chat without a store",
        measured=f"{stored:,.0f} to {chat:,.0f} us: {ratio:.2f}× ({min(ratios):.2f} to {max(ratios):.2f})",
        bar=f"≤ {MOST_CPU}×",
        met=ratio <= MOST_CPU,
    )


def _request_us(bench: Bench, target: Target, scenario: Scenario) -> float:
    process = _process(target)
    time.sleep(SETTLE_S)
    before = process.cpu_s()
    load = put_load(bench, target, scenario)
    time.sleep(SETTLE_S)
    if any(load.errors.values()):
        raise CannotMeasureError(f"answers failed: {load.errors}")
    return (process.cpu_s() - before) / max(1, load.total_requests) * 1e6


def _streamed_again(target: Target, rounds: int) -> Iterator[Row]:
    """A long response, made once and read again from the store."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=READ_S)
    try:
        asked = _asked("responses", f"mock-stream-{EVENTS - AROUND_DELTAS}", EVENTS - AROUND_DELTAS)
        connection.request(
            "POST", target.launch.responses, asked.body(asked.model), {"content-type": "application/json"}
        )
        first = connection.getresponse().read()
        events = SseDecoder().feed(first)
        if len(events) != EVENTS + 1:  # with [DONE]
            raise CannotMeasureError(f"the response has {len(events) - 1} events: {first[-300:]!r}")
        name = first.partition(b'"id":"')[2].partition(b'"')[0].decode()
        process, walls = _process(target), []
        cpu = process.cpu_s()
        for _ in range(4 * rounds):
            since = time.perf_counter()
            connection.request("GET", f"{target.launch.responses}/{name}?stream=true")
            again = connection.getresponse().read()
            walls.append(time.perf_counter() - since)
            if again != first:
                raise CannotMeasureError("a response that is streamed again is another one")
        spent = (process.cpu_s() - cpu) / len(walls)
    finally:
        connection.close()
    rate = EVENTS / statistics.median(walls)
    yield Row(
        what=f"a stored response of {EVENTS:,} events, streamed again",
        measured=f"{rate:,.0f} events/s",
        bar=f"≥ {LEAST_EVENTS:,.0f} events/s",
        met=rate >= LEAST_EVENTS,
    )
    yield Row(what="the same, of a second of processor time", measured=f"{EVENTS / spent:,.0f} events")


def _held(bench: Bench, target: Target, dialect: str, count: int) -> Row:
    """What an open stream holds of memory."""
    process, scenario = _process(target), open_stream(1_000)
    for chunks in (SHORT, LONG):
        put_load(bench, target, _asked(dialect, f"mock-stream-{chunks}", chunks))
    time.sleep(SETTLE_S)
    before = process.rss_bytes()
    kind = _asked(dialect, scenario.model, scenario.chunks, pace_s=scenario.pace_s)
    with held_open(bench, target, count, kind):
        time.sleep(HELD_S)
        each = (process.rss_bytes() - before) / count / 1024
    named = {"chat": "chat completions", "responses": "stored responses"}[dialect]
    return Row(
        what=f"memory of each of {count:,} open streams, {named}",
        measured=f"{each:.0f} KiB",
        bar=f"≤ {MOST_KIB:.0f} KiB",
        met=each <= MOST_KIB,
    )


def _asked(dialect: str, model: str, chunks: int, pace_s: float = 0) -> Scenario:
    return Scenario(
        name=f"{dialect}-{model}",
        title=model,
        model=model,
        dialect="responses" if dialect == "responses" else "chat",
        stored=dialect == "responses",
        chunks=chunks,
        pace_s=pace_s,
        connections=CONNECTIONS,
    )


def _process(target: Target) -> Process:
    assert target.process is not None
    return target.process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
