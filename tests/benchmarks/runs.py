"""Runs that nobody ran, to do arithmetic with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.gateways.loader import Latency, Load
from benchmarks.gateways.machine import Machine
from benchmarks.gateways.results import Cost, Import, Memory, Run, Sample, Start
from benchmarks.gateways.scenarios import Scenario

UNARY = Scenario(name="unary-c16", title="c16", connections=16)
STREAM = Scenario(
    name="stream-100-s16", title="s16", model="mock-stream-100", chunks=100, unit="chunks/s", connections=16
)
MACHINE = Machine(
    processor="Abacus 3000",
    cores=2,
    memory_gib=4,
    kernel="Linux 6",
    python="CPython 3.11.0",
    gateway_core=0,
    load_core=1,
    second_core=1,
)


def latency(p50: float = 0, p95: float = 0, p99: float = 0) -> Latency:
    return Latency(count=1, mean=p50, p50=p50, p95=p95, p99=p99, p999=p99, max=p99)


def sample(
    gateway: str = "ours",
    scenario: Scenario = UNARY,
    *,
    number: int = 1,
    rate: float = 100,
    requests: int = 100,
    chunks: int = 0,
    cpu_s: float = 1.0,
    core_busy_s: float | None = None,
    upstream_cpu_s: float = 0.5,
    total_s: float = 1.0,
    errors: Mapping[str, int] | None = None,
    upstream_requests: int | None = None,
    p50: float = 0,
    chunk_p50: float = 0,
) -> Sample:
    load = Load(
        connections=scenario.connections,
        seconds=1,
        requests=requests,
        requests_per_s=rate,
        chunks=chunks,
        chunks_per_s=rate,
        total_requests=requests,
        total_chunks=chunks,
        total_s=total_s,
        bytes_in=0,
        reconnects=0,
        errors=dict(errors or {}),
        latency_us=latency(p50, p50, p50),
        chunk_latency_us=latency(chunk_p50, chunk_p50, chunk_p50),
    )
    return Sample(
        gateway=gateway,
        scenario=scenario.name,
        round=number,
        load=load,
        cpu_s=cpu_s,
        core_busy_s=cpu_s if core_busy_s is None else core_busy_s,
        upstream_cpu_s=upstream_cpu_s,
        upstream_requests=requests + sum((errors or {}).values())
        if upstream_requests is None
        else upstream_requests,
    )


def start(gateway: str = "ours", *, ready_s: float = 0.2, idle: int = 0, after: int = 0) -> Start:
    return Start(gateway=gateway, round=1, ready_s=ready_s, rss_idle=idle, rss_after=after)


def run(
    samples: Sequence[Sample] = (),
    starts: Sequence[Start] = (),
    *,
    scenarios: Sequence[Scenario] = (UNARY, STREAM),
    versions: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
    aside: Sequence[Cost | Memory | Import] = (),
) -> Run:
    return Run(
        machine=MACHINE,
        date="2026-01-02",
        command="python -m benchmarks.gateways",
        rounds=1,
        seconds=3,
        versions=versions or {},
        left_out=left_out or {},
        scenarios=scenarios,
        samples=samples,
        starts=starts,
        costs=[each for each in aside if isinstance(each, Cost)],
        memory=[each for each in aside if isinstance(each, Memory)],
        imports=[each for each in aside if isinstance(each, Import)],
    )
