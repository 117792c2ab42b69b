"""Two thousand open streams: what each costs, and how long each piece takes through the server."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.fakes.load import Wire, connect, in_ms, percentile, post
from tests.fakes.relayed import chat_body
from tests.fakes.sampler import rss_bytes, until
from tests.soak.mock import mocked
from tests.soak.process import relay_config, running

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
STREAMS = int(os.environ.get("CALLBOARD_SOAK_STREAMS", "2000"))
PROVIDERS = STREAMS // 100
"""A client of ours opens a hundred connections to one upstream, so the streams are spread."""

MEASURED_S = 20
FOR_EVER = 1_000_000
KIB = 1 << 10
AT_ONCE = 50
SERVER = "max_concurrency = 2048\nmax_connections = 4096\n"


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """As many descriptors as we may have; processes that we start inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5 * STREAMS:
        pytest.skip("needs more descriptors than this process may have")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def other_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


class Readers:
    """The clients of all streams.

    Attributes:
        delays_s: From the upstream's sending a piece to our having it, while ``measuring``.
        opened: Set when every stream has had its first piece.
    """

    def __init__(self, port: int) -> None:
        self.delays_s: list[float] = []
        self.measuring = False
        self.opened = anyio.Event()
        self._open = 0
        self._port = port
        self._at_once = anyio.CapacityLimiter(AT_ONCE)

    async def follow(self, number: int) -> None:
        """Read one stream until cancelled."""
        provider = number % PROVIDERS
        model = f"demo-model-{provider}" if provider else "demo-model"
        body = {**chat_body(f"stream {number}", stream=True, max_tokens=FOR_EVER), "model": model}
        async with self._at_once:
            wire = await connect(self._port)
            wire.send(post(body))
            await wire.see(b"stamp ")
        self._open += 1
        if self._open == STREAMS:
            self.opened.set()
        try:
            while True:
                self._take(wire)
                await wire.see(b"}\n\n")
        finally:
            wire.leave()

    def _take(self, wire: Wire) -> None:
        now = time.perf_counter_ns()
        for piece in bytes(wire.received).split(b"stamp ")[1:]:
            if self.measuring:
                self.delays_s.append((now - int(piece.partition(b" ")[0])) / 1e9)
        wire.received.clear()


async def test_two_thousand_streams_cost_little_and_are_passed_on_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with mocked(interval_s=1.0) as upstream:
        asyncio.get_running_loop().set_debug(False)  # it is the server that is measured
        config = relay_config(f"http://127.0.0.1:{upstream}/v1", server=SERVER, providers=PROVIDERS)
        async with running(tmp_path, config, flags=(), cpu=0, level="info") as server:
            before = rss_bytes(server.process.pid)
            readers = Readers(server.port)
            async with anyio.create_task_group() as tasks:
                for number in range(STREAMS):
                    tasks.start_soon(readers.follow, number)
                with anyio.fail_after(300):
                    await readers.opened.wait()
                readers.measuring = True
                cpu = server.sample().cpu_s
                await anyio.sleep(MEASURED_S)  # this is the measurement
                held = server.sample()
                tasks.cancel_scope.cancel()
            gone = await until(server.process.pid, lambda now: now.tcp == 1, within_s=30)
            await server.stop()
    each = (held.rss_bytes - before) / STREAMS / KIB
    delays = readers.delays_s
    with capsys.disabled():
        sys.stdout.write(
            f"\n{STREAMS} streams: {each:.1f} KiB each, {held.fds} descriptors, "
            f"CPU {(held.cpu_s - cpu) / MEASURED_S:.0%} of a core; "
            f"{len(delays)} pieces, delay {in_ms(delays)}; "
            f"sockets afterwards {gone.tcp}\n"
        )
    assert held.fds >= 2 * STREAMS
    assert gone.tcp == 1
    assert len(delays) >= 0.9 * STREAMS * MEASURED_S
    assert each <= 100
    assert percentile(delays, 0.99) <= 0.05
