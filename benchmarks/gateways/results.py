"""What a run has measured, and the figures that follow from it: medians over rounds, ratios, differences."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.gateways.loader import Latency, Load
from benchmarks.gateways.machine import Machine
from benchmarks.gateways.scenarios import Scenario
from benchmarks.gateways.table import DIRECT


class Sample(Struct, frozen=True, kw_only=True):
    """One scenario, run once through one gateway.

    Attributes:
        cpu_s: Processor time of all the gateway's processes, from the first request to the last answer.
        core_busy_s: How long the gateway's core was busy in that time, with whatever.
        upstream_cpu_s: As ``cpu_s``, of the mock upstream.
        upstream_requests: How many requests the mock was asked in that time.
    """

    gateway: str
    scenario: str
    round: int
    load: Load
    cpu_s: float
    core_busy_s: float
    upstream_cpu_s: float
    upstream_requests: int


class Start(Struct, frozen=True, kw_only=True):
    """One start of a gateway.

    Attributes:
        ready_s: From starting the process to its first answer from upstream.
        rss_idle, rss_after: Bytes, then and after all scenarios.
    """

    gateway: str
    round: int
    ready_s: float
    rss_idle: int
    rss_after: int


Grows: TypeAlias = Literal["open streams", "models", "workers"]


class Cost(Struct, frozen=True, kw_only=True):
    """Processor time of a request and of a chunk, while there are so many of something.

    Attributes:
        grows, size: Of what, and how many.
    """

    gateway: str
    grows: Grows
    size: int
    round: int
    request_us: float
    chunk_us: float


class Memory(Struct, frozen=True, kw_only=True):
    """Resident memory of one start, in bytes.

    Attributes:
        idle: When it was ready.
        warm: After the first tenth of the work.
        later: After all of it.
    """

    gateway: str
    round: int
    idle: int
    warm: int
    later: int


class Import(Struct, frozen=True, kw_only=True):
    """How long a fresh interpreter took to import a module of ours, with all that it imports."""

    module: str
    round: int
    seconds: float


class Run(Struct, frozen=True, kw_only=True):
    """Everything that was measured.

    Attributes:
        micro: What the micro-benchmarks printed when they were last run; empty where they were not.
        versions: Of every gateway measured.
        left_out: Gateways that were asked for or installed, and why they are missing.
    """

    machine: Machine
    date: str
    command: str
    rounds: int
    seconds: float
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    scenarios: Sequence[Scenario]
    samples: Sequence[Sample]
    starts: Sequence[Start]
    costs: Sequence[Cost] = ()
    memory: Sequence[Memory] = ()
    imports: Sequence[Import] = ()
    micro: str = ""


class Figures(Struct, frozen=True, kw_only=True):
    """One scenario through one gateway: medians over the rounds.

    Attributes:
        rate: In the scenario's unit.
        cpu_us: Processor time for each request or chunk.
        busy: Share of its core that the gateway used.
        disturbed: Share of its core that others used.
        latency: Of requests; of chunks where they are paced.
        errors: Of all rounds, by kind.
        repeated: Requests that the upstream was asked beyond those answered, in all rounds.
    """

    rate: float
    cpu_us: float
    busy: float
    disturbed: float
    latency: Latency
    errors: Mapping[str, int]
    repeated: int


Measure: TypeAlias = Callable[[Run, str], float | None]
"""One figure of a gateway, named by its name; None where it was not measured."""


def figures(run: Run, gateway: str, scenario: Scenario) -> Figures | None:
    """The medians; None where nothing was measured."""
    samples = [each for each in run.samples if (each.gateway, each.scenario) == (gateway, scenario.name)]
    if not samples:
        return None
    chunked = scenario.unit == "chunks/s"
    loads = [each.load for each in samples]
    answered = [each.total_chunks if chunked else each.total_requests for each in loads]
    return Figures(
        rate=_median(each.chunks_per_s if chunked else each.requests_per_s for each in loads),
        cpu_us=_median(
            1e6 * each.cpu_s / count for each, count in zip(samples, answered, strict=True) if count
        ),
        busy=_median(each.cpu_s / each.load.total_s for each in samples),
        disturbed=_median((each.core_busy_s - each.cpu_s) / each.load.total_s for each in samples),
        latency=_middle([each.chunk_latency_us if scenario.paced else each.latency_us for each in loads]),
        errors=_sum([each.errors for each in loads]),
        repeated=sum(
            each.upstream_requests - each.load.total_requests - sum(each.load.errors.values())
            for each in samples
        ),
    )


def start_figures(run: Run, gateway: str) -> Start | None:
    """Medians over a gateway's starts; its ``round`` is how many there were."""
    starts = [each for each in run.starts if each.gateway == gateway]
    if not starts:
        return None
    return Start(
        gateway=gateway,
        round=len(starts),
        ready_s=_median(each.ready_s for each in starts),
        rss_idle=int(_median(each.rss_idle for each in starts)),
        rss_after=int(_median(each.rss_after for each in starts)),
    )


def ratio(run: Run, ours: str, theirs: str, measure: Measure) -> float | None:
    """How many times their figure ours is; None where one of them is missing, and nothing is a multiple of 0.

    Taken round by round, and the median of those: what disturbed a whole round disturbed both.
    """
    return quotient(run, lambda one: measure(one, ours), lambda one: measure(one, theirs))


def quotient(
    run: Run, above: Callable[[Run], float | None], below: Callable[[Run], float | None]
) -> float | None:
    """As `ratio`, of any two figures of a run."""
    quotients = []
    rounds = {each.round for each in run.samples} | {each.round for each in run.costs}
    for number in sorted(rounds):
        one = only(run, number)
        over, under = above(one), below(one)
        if over is not None and under:
            quotients.append(over / under)
    return _median(quotients) if quotients else None


def cost_figures(run: Run, gateway: str, grows: Grows, size: int) -> Cost | None:
    """Medians over rounds; None where nothing was measured."""
    found = [each for each in run.costs if (each.gateway, each.grows, each.size) == (gateway, grows, size)]
    if not found:
        return None
    return replace(
        found[0],
        request_us=_median(each.request_us for each in found),
        chunk_us=_median(each.chunk_us for each in found),
    )


def memory_figures(run: Run, gateway: str) -> Memory | None:
    """Medians over rounds; None where nothing was measured."""
    found = [each for each in run.memory if each.gateway == gateway]
    if not found:
        return None
    return replace(
        found[0],
        idle=int(_median(each.idle for each in found)),
        warm=int(_median(each.warm for each in found)),
        later=int(_median(each.later for each in found)),
    )


def import_s(run: Run, module: str) -> float | None:
    """The median; None where it was not measured."""
    found = [each.seconds for each in run.imports if each.module == module]
    return _median(found) if found else None


def measures(scenario: Scenario) -> dict[str, Measure]:
    """What ratios are taken of, by name: what a scenario is about."""

    def of(field: Callable[[Figures], float]) -> Measure:
        def measure(run: Run, gateway: str) -> float | None:
            found = figures(run, gateway, scenario)
            return None if found is None else field(found)

        return measure

    def added_p50(run: Run, gateway: str) -> float | None:
        through, direct = figures(run, gateway, scenario), figures(run, DIRECT, scenario)
        return None if through is None or direct is None else through.latency.p50 - direct.latency.p50

    cpu = of(lambda each: each.cpu_us)
    if scenario.paced:
        p50, p99 = of(lambda each: each.latency.p50), of(lambda each: each.latency.p99)
        return {"CPU": cpu, "latency p50": p50, "latency p99": p99}
    if scenario.rate is not None:
        return {"CPU": cpu, "added p50": added_p50}
    rate = of(lambda each: each.rate)
    return {scenario.unit: rate, "CPU": cpu, **({} if scenario.saturates else {"added p50": added_p50})}


def added(through: Latency, direct: Latency) -> tuple[float, float, float]:
    """What a gateway adds at the 50th, 95th and 99th percentile, in microseconds.

    The difference of two percentiles is not the percentile of the differences: read it as an indication.
    """
    return through.p50 - direct.p50, through.p95 - direct.p95, through.p99 - direct.p99


def only(run: Run, number: int) -> Run:
    """The same run, as if there had been this round alone."""
    return replace(
        run,
        samples=[each for each in run.samples if each.round == number],
        starts=[each for each in run.starts if each.round == number],
        costs=[each for each in run.costs if each.round == number],
        memory=[each for each in run.memory if each.round == number],
        imports=[each for each in run.imports if each.round == number],
    )


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else 0.0


def _middle(distributions: Sequence[Latency]) -> Latency:
    def of(field: Callable[[Latency], float]) -> float:
        return _median(map(field, distributions))

    return Latency(
        count=sum(each.count for each in distributions),
        mean=of(lambda each: each.mean),
        p50=of(lambda each: each.p50),
        p95=of(lambda each: each.p95),
        p99=of(lambda each: each.p99),
        p999=of(lambda each: each.p999),
        max=of(lambda each: each.max),
    )


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    kinds = {kind for each in counts for kind, count in each.items() if count}
    return {kind: sum(each.get(kind, 0) for each in counts) for kind in sorted(kinds)}
