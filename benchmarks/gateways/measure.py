"""Running gateways one at a time, and measuring each scenario through them."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from benchmarks.gateways.gateway import Gateway, Launch, Site
from benchmarks.gateways.loader import Load, Upstream, run_load, running_upstream
from benchmarks.gateways.machine import Machine, this_machine
from benchmarks.gateways.native import CannotMeasureError, build
from benchmarks.gateways.processes import Process, core_busy_s, free_port
from benchmarks.gateways.results import Sample, Start
from benchmarks.gateways.scenarios import SCENARIO, SCENARIOS, Scenario
from benchmarks.gateways.table import DIRECT
from callboard.errors import CallboardError
from callboard.wire.sse import SseDecoder

POLL_S = 0.005
SETTLE_S = 0.5
ANSWER_S = 10
LOG_LINES = 15
AUTHORIZATION = ("authorization", "Bearer sk-bench")


class Bench(Struct, frozen=True, kw_only=True):
    """What every measurement needs."""

    upstream: Upstream
    load_binary: Path
    machine: Machine
    scenarios: Sequence[Scenario]
    seconds: float
    peers: Path
    say: Callable[[str], None]


@contextmanager
def bench_of(seconds: float, peers: Path) -> Iterator[Bench]:
    """A bench for a few measurements by themselves, with an upstream of its own."""
    machine = this_machine()
    upstream_binary, load_binary = build("upstream"), build("load")
    with running_upstream(upstream_binary, machine.load_core) as upstream:
        yield Bench(
            upstream=upstream,
            load_binary=load_binary,
            machine=machine,
            scenarios=(),
            seconds=seconds,
            peers=peers,
            say=lambda _: None,
        )


class Target(Struct, frozen=True, kw_only=True):
    """Something that answers: a running gateway, or the mock itself.

    Attributes:
        process: None where there is no gateway.
        ready_s: How long it took to start.
    """

    name: str
    port: int
    launch: Launch
    process: Process | None = None
    ready_s: float = 0.0


@contextmanager
def running(bench: Bench, gateway: Gateway, cores: Sequence[int] = ()) -> Iterator[Target]:
    """Start a gateway, wait until it answers, and end it at the block's end.

    Args:
        bench: What is measured, and with what.
        gateway: Which.
        cores: Where it may run; on the gateways' core by default.

    Raises:
        CannotMeasureError: It ended, or did not answer in time.
    """
    memory = Path("/dev/shm")
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
    home = bench.peers.absolute() / gateway.name
    site = Site(port=free_port(), upstream=bench.upstream.port, home=home, work=work)
    try:
        launch = gateway.launch(site)
        with (work / "output.log").open("wb") as output:
            since = time.perf_counter()
            cores = cores or (bench.machine.gateway_core,)
            process = Process(launch.argv, cores=cores, env=launch.env, cwd=work, output=output)
        try:
            target = Target(name=gateway.name, port=site.port, launch=launch, process=process)
            _wait_until_it_answers(target, process, work / "output.log", since + gateway.start_s)
            yield msgspec.structs.replace(target, ready_s=time.perf_counter() - since)
        finally:
            process.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def direct(bench: Bench) -> Target:
    """The mock upstream, as if it were a gateway."""
    return Target(name=DIRECT, port=bench.upstream.port, launch=Launch(argv=()))


def measure(bench: Bench, target: Target, number: int) -> tuple[list[Sample], Start | None]:
    """Every scenario through one target, one after the other; those whose dialect it speaks."""
    process = target.process
    time.sleep(SETTLE_S)
    idle = process.rss_bytes() if process else 0
    samples = [
        _sample(bench, target, scenario, number)
        for scenario in bench.scenarios
        if path_of(target.launch, scenario)
    ]
    if process is None:
        return samples, None
    after = process.rss_bytes()
    start = Start(gateway=target.name, round=number, ready_s=target.ready_s, rss_idle=idle, rss_after=after)
    return samples, start


def rehearse(target: Target) -> None:
    """Have one answer of each kind, and look at it more closely than the load generator does.

    Raises:
        CannotMeasureError: It is not what the upstream said.
    """
    for scenario in SCENARIOS:
        if scenario.paced or not path_of(target.launch, scenario):
            continue
        status, body = _ask(target, scenario)
        if not scenario.chunks:
            if status != 200 or b"mock-says" not in body:
                raise CannotMeasureError(f"{scenario.name}: status {status}, {body[:300]!r}")
            continue
        if status != 200 or not body.rstrip().endswith(target.launch.stream_end.encode()):
            raise CannotMeasureError(f"{scenario.name}: status {status}, … {body[-300:]!r}")
        if (found := text_chunks(body, scenario.dialect)) != scenario.chunks:
            raise CannotMeasureError(f"{scenario.name}: {found} chunks came, {scenario.chunks} were sent")


def path_of(launch: Launch, scenario: Scenario) -> str:
    """Where a gateway takes a scenario's requests; empty where it does not speak the dialect."""
    return launch.responses if scenario.dialect == "responses" else launch.path


def text_chunks(body: bytes, dialect: Literal["chat", "responses"] = "chat") -> int:
    """How many chunks of text a stream of the dialect has.

    Raises:
        CannotMeasureError: It is no such stream.
    """
    decoder = SseDecoder()
    try:
        events = [event.data for event in decoder.feed(body)]
        decoder.end()
        chunks = [json.loads(data) for data in events if data != b"[DONE]"]
        if dialect == "responses":
            return sum(chunk["type"] == "response.output_text.delta" for chunk in chunks)
        choices = itertools.chain.from_iterable(chunk["choices"] for chunk in chunks)
        return sum(bool(choice["delta"].get("content")) for choice in choices)
    except (CallboardError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotMeasureError(f"the stream is broken: {error!r}") from error


def _sample(bench: Bench, target: Target, scenario: Scenario, number: int) -> Sample:
    process, mock = target.process, bench.upstream.process
    books, upstream_cpu = bench.upstream.books(), mock.cpu_s()
    cpu, core = process.cpu_s() if process else 0.0, core_busy_s(bench.machine.gateway_core)
    load = put_load(bench, target, scenario)
    sample = Sample(
        gateway=target.name,
        scenario=scenario.name,
        round=number,
        load=load,
        cpu_s=process.cpu_s() - cpu if process else 0.0,
        core_busy_s=core_busy_s(bench.machine.gateway_core) - core,
        upstream_cpu_s=mock.cpu_s() - upstream_cpu,
        upstream_requests=bench.upstream.books().requests - books.requests,
    )
    rate = load.chunks_per_s if scenario.unit == "chunks/s" else load.requests_per_s
    errors = {kind: count for kind, count in load.errors.items() if count}
    bench.say(f"  {target.name:22} {scenario.name:15} {rate:12,.0f} {scenario.unit} {errors or ''}")
    time.sleep(SETTLE_S)
    return sample


def put_load(bench: Bench, target: Target, scenario: Scenario, more: Sequence[str] = ()) -> Load:
    """A scenario's load, without books; ``more`` are further options of the load generator."""
    with request(target, scenario) as words:
        options = (*words, *scenario.arguments(bench.seconds), *more)
        return run_load(bench.load_binary, bench.machine.load_core, options)


@contextmanager
def request(target: Target, scenario: Scenario) -> Iterator[list[str]]:
    """The load generator's options that say what to ask; the body's file is there within the block."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(scenario.body(target.launch.prefix + scenario.model))
        file.flush()
        headers = [f"{name}: {value}" for name, value in (AUTHORIZATION, *target.launch.headers)]
        words = ["--port", str(target.port), "--path", path_of(target.launch, scenario), "--body", file.name]
        words += itertools.chain.from_iterable(("--header", header) for header in headers)
        if scenario.chunks:
            words += ["--expect", target.launch.stream_end]
        yield words


def _ask(target: Target, scenario: Scenario) -> tuple[int, bytes]:
    body = scenario.body(target.launch.prefix + scenario.model)
    headers = {"content-type": "application/json", **dict((AUTHORIZATION, *target.launch.headers))}
    connection = HTTPConnection("127.0.0.1", target.port, timeout=ANSWER_S)
    try:
        connection.request("POST", path_of(target.launch, scenario), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _wait_until_it_answers(target: Target, process: Process, log: Path, deadline: float) -> None:
    last = "nothing listens"
    while time.perf_counter() < deadline:
        if process.ended is not None:
            raise CannotMeasureError(f"it ended with status {process.ended}:\n{_tail(log)}")
        try:
            status, body = _ask(target, SCENARIO["unary-c1"])
        except (OSError, HTTPException) as error:
            last = repr(error)
        else:
            if status == 200:
                return
            last = f"status {status}, {body[:300]!r}"
        time.sleep(POLL_S)
    raise CannotMeasureError(f"it did not answer in time ({last}):\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


def failure_of(error: Exception) -> str:
    """One line for a table: what is wrong, without our own paths."""
    text = error.stderr if isinstance(error, subprocess.CalledProcessError) and error.stderr else str(error)
    return str(text).split(":\n", 1)[0].splitlines()[0]
