"""What the load generator and the mock upstream report, and how they are run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.gateways.processes import Process

MOST_SECONDS = 180


class Latency(Struct, frozen=True, kw_only=True):
    """A distribution, in microseconds; off by 0.8 % at most."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    p999: float
    max: float


class Load(Struct, frozen=True, kw_only=True):
    """What native/load.c prints.

    Attributes:
        requests, chunks: Within the measured time.
        total_requests, total_chunks: From the first request to the last answer, warm-up included.
        total_s: How long that took.
        reconnects: Connections that were closed while idle or after an answer.
        errors: By kind; answers that failed are in no other figure.
        chunk_latency_us: From the mock's writing of a chunk to our reading; of paced streams only.
    """

    connections: int
    seconds: float
    requests: int
    requests_per_s: float
    chunks: int
    chunks_per_s: float
    total_requests: int
    total_chunks: int
    total_s: float
    bytes_in: int
    reconnects: int
    errors: dict[str, int]
    latency_us: Latency
    chunk_latency_us: Latency


class Books(Struct, frozen=True, kw_only=True):
    """What the mock upstream was asked and has sent, from its GET /stats."""

    requests: int
    streams: int
    chunks: int
    abandoned: int
    accepted: int
    open_connections: int
    bytes_in: int
    bytes_out: int


class Upstream:
    """The running mock.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        process: To weigh it.
    """

    def __init__(self, binary: Path, core: int) -> None:
        self.process = Process((str(binary),), cores=(core,), output=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[-1])

    def books(self) -> Books:
        """Its own account of what happened."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/stats")
            return msgspec.json.decode(connection.getresponse().read(), type=Books)
        finally:
            connection.close()


@contextmanager
def running_upstream(binary: Path, core: int) -> Iterator[Upstream]:
    """The mock, ended at the block's end."""
    upstream = Upstream(binary, core)
    try:
        yield upstream
    finally:
        upstream.process.stop()


def run_load(binary: Path, core: int, arguments: Sequence[str]) -> Load:
    """Run the load generator to its end.

    Raises:
        subprocess.CalledProcessError: It could not start; it has said why on standard error.
    """
    done = subprocess.run(
        ("taskset", "-c", str(core), str(binary), *arguments),
        stdout=subprocess.PIPE,
        check=True,
        timeout=MOST_SECONDS,
    )
    return msgspec.json.decode(done.stdout, type=Load)
