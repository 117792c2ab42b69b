"""What a request and a chunk cost while something grows: open streams, models, workers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.measure import Bench, Target, put_load, request, running
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.peers.callboard import with_models, with_workers
from benchmarks.gateways.processes import Process, raise_open_files
from benchmarks.gateways.results import Cost, Grows
from benchmarks.gateways.scenarios import OPEN_STREAMS, SCENARIO, Scenario, open_stream

MODELS = (10, 1_000)
WORKERS = (1, 2)
OPENED_PER_S = 1_500
"""They are connected at once, and a server waits 10 s for a request."""
OPEN_PATIENCE_S = 60
POLL_S = 0.1
SETTLE_S = 1.0
KEPT_UP = 0.95
OTHER_FILES = 200
"""What a gateway has open besides two sockets for each stream, generously."""
FOREGROUND = SCENARIO["unary-c16"]
REQUESTS, CHUNKS = SCENARIO["unary-c64"], SCENARIO["stream-100-s16"]


def stream_counts() -> tuple[int, ...]:
    """How many streams are opened: as many as planned, or as the limit on open files allows."""
    most = (raise_open_files() - OTHER_FILES) // 2 // 100 * 100
    return tuple(dict.fromkeys(min(each, most) for each in OPEN_STREAMS))


def with_open_streams(bench: Bench, gateway: Gateway, count: int, number: int) -> Cost:
    """While ``count`` streams are open, at the same chunks a second for any count.

    First they are alone, and their chunks are weighed; then requests come in a closed loop besides, and what
    the chunks cost is taken off.

    Raises:
        CannotMeasureError: Not all of them opened, or their chunks did not come in time.
    """
    planned = next(each for each in OPEN_STREAMS if each >= count)
    scenario = open_stream(planned)
    with running(bench, gateway) as target:
        process, upstream = _process(target), bench.upstream
        with held_open(bench, target, count, scenario):
            time.sleep(SETTLE_S)
            books, cpu, since = upstream.books(), process.cpu_s(), time.perf_counter()
            time.sleep(math.ceil(bench.seconds / scenario.pace_s) * scenario.pace_s)
            chunks, alone = upstream.books().chunks - books.chunks, time.perf_counter() - since
            busy, rate = (process.cpu_s() - cpu) / alone, count / scenario.pace_s
            if chunks < KEPT_UP * rate * alone:
                raise CannotMeasureError(f"{count} open streams brought {chunks / alone:,.0f} chunks/s")
            cpu, since = process.cpu_s(), time.perf_counter()
            load = put_load(bench, target, FOREGROUND)
            used = process.cpu_s() - cpu - busy * (time.perf_counter() - since)
    seconds = used / max(1, load.total_requests), busy / rate
    return _cost(bench, gateway, "open streams", count, number, seconds)


def with_more_models(bench: Bench, number: int) -> Iterator[Cost]:
    """While Callboard knows few models, and many."""
    for count in MODELS:
        gateway = with_models(count)
        with running(bench, gateway) as target:
            yield _cost(bench, gateway, "models", count, number, _weighed(bench, target))


def with_more_workers(bench: Bench, number: int) -> Iterator[Cost]:
    """With one worker on the gateways' core, and with two on as many cores.

    Where the machine has two only, the load shares the second: read processor time, not throughput.
    """
    cores = (bench.machine.gateway_core, bench.machine.second_core)
    for count in WORKERS:
        gateway = with_workers(count)
        with running(bench, gateway, cores[:count]) as target:
            yield _cost(bench, gateway, "workers", count, number, _weighed(bench, target))


def _weighed(bench: Bench, target: Target) -> tuple[float, float]:
    """Processor seconds of a request and of a chunk."""
    process = _process(target)
    time.sleep(SETTLE_S)
    before = process.cpu_s()
    requests = put_load(bench, target, REQUESTS).total_requests
    between = process.cpu_s()
    chunks = put_load(bench, target, CHUNKS).total_chunks
    return (between - before) / max(1, requests), (process.cpu_s() - between) / max(1, chunks)


@contextmanager
def held_open(bench: Bench, target: Target, count: int, scenario: Scenario) -> Iterator[None]:
    """That many streams, all open within the block and broken off at its end.

    Raises:
        CannotMeasureError: Not all of them opened, or one of them did not last.
    """
    # They begin at equal distances within a whole number of paces, so their chunks come evenly.
    paces = max(1, round(count / OPENED_PER_S / scenario.pace_s))
    before = bench.upstream.books()
    with request(target, scenario) as words:
        loop = ("--connections", str(count), "--stagger", f"{paces * scenario.pace_s:g}")
        times = ("--seconds", "600", "--timeout", "600", "--chunks", str(scenario.chunks))
        load = Process((str(bench.load_binary), *words, *loop, *times), cores=(bench.machine.load_core,))
        try:
            deadline = time.monotonic() + OPEN_PATIENCE_S
            while (opened := bench.upstream.books().streams - before.streams) < count:
                if load.ended is not None or time.monotonic() > deadline:
                    raise CannotMeasureError(f"{opened} of {count} streams opened")
                time.sleep(POLL_S)
            yield
            if (lost := bench.upstream.books().abandoned - before.abandoned) > 0:
                raise CannotMeasureError(f"{lost} of {count} open streams were broken off")
        finally:
            load.stop()


def _process(target: Target) -> Process:
    assert target.process is not None
    return target.process


def _cost(
    bench: Bench, gateway: Gateway, grows: Grows, size: int, number: int, seconds: tuple[float, float]
) -> Cost:
    request_us, chunk_us = (each * 1e6 for each in seconds)
    bench.say(
        f"  {gateway.name:22} {size:6,} {grows:13} {request_us:9,.0f} us/request {chunk_us:6,.1f} us/chunk"
    )
    return Cost(
        gateway=gateway.name, grows=grows, size=size, round=number, request_us=request_us, chunk_us=chunk_us
    )
