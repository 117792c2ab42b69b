"""``callboard bench``, as its user runs it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import anyio.to_thread
import pytest

from tests.bench.target import CHAT_STREAM, GOOD
from tests.cli.command import COMMAND, callboard, complaint, environment
from tests.fakes.http_server import HttpServer, Peer, answering, plain, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Where the fakes run; the command chooses for itself."""
    return "asyncio"


async def bench(folder: Path, *words: str, key: str = "") -> subprocess.CompletedProcess[str]:
    with anyio.fail_after(30):
        return await anyio.to_thread.run_sync(lambda: callboard(folder, "bench", *words, BENCH_KEY=key))


def to(server: HttpServer, *words: str) -> tuple[str, ...]:
    return ("--url", server.url, "--model", "m", *words)


async def test_a_table_goes_to_the_output_and_the_progress_beside_it(tmp_path: Path) -> None:
    async with serve(answering(GOOD)) as server:
        done = await bench(tmp_path, *to(server, "--count", "20", "-c", "2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("chat · model m · closed loop, 2 at once · 20 requests\n")
    assert "latency, ms" in done.stdout
    assert len(server.requests) == 20
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == ["…", "ms"]
    assert "\x1b" not in done.stderr


async def test_json_is_one_document_and_holds_no_secret(tmp_path: Path) -> None:
    async with serve(answering(CHAT_STREAM)) as server:
        words = to(server, "--stream", "--rate", "100", "--arrivals", "poisson", "--count", "10", "--json")
        secrets = ("--api-key", "${BENCH_KEY}", "-H", "X-Trace: ${BENCH_KEY}")
        done = await bench(tmp_path, *words, *secrets, key="s3cret")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "callboard.bench/1"
    assert document["plan"]["steps"][0]["arrivals"] == "poisson"
    merged = document["targets"][0]["steps"][0]["merged"]
    assert merged["succeeded"] == 10
    assert merged["gap"]["count"] == 20
    assert merged["output_tokens"] == "reported"
    assert "s3cret" not in done.stdout + done.stderr
    assert server.requests[0].values(b"authorization") == [b"Bearer s3cret"]
    assert server.requests[0].values(b"x-trace") == [b"s3cret"]


async def test_two_targets_are_compared_and_drawn(tmp_path: Path) -> None:
    async with serve(answering(GOOD)) as first, serve(answering(GOOD)) as second:
        urls = ("--url", f"one={first.url}", "--url", f"two={second.url}", "--model", "m")
        done = await bench(tmp_path, *urls, "-n", "5", "--rounds", "2", "--chart", "latency.svg")
    assert done.returncode == 0, done.stderr
    assert "against one" in done.stdout
    assert len(first.requests) == len(second.requests) == 10
    assert ET.parse(tmp_path / "latency.svg").getroot().tag.endswith("svg")


async def test_a_payload_file_is_sent_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text('{"model":"a","n":1}\n{"model":"b","n":2}\n')
    async with serve(answering(GOOD)) as server:
        done = await bench(tmp_path, "--url", server.url, "--payload", "requests.jsonl", "-n", "3")
    assert done.returncode == 0, done.stderr
    assert [json.loads(request.body)["n"] for request in server.requests] == [1, 2, 1]


async def test_more_failures_than_allowed_are_status_one(tmp_path: Path) -> None:
    async with serve(answering(plain(b"{}", status=b"429 Slow"))) as server:
        failed = await bench(tmp_path, *to(server, "-n", "4"))
        forgiven = await bench(tmp_path, *to(server, "-n", "4", "--max-failures", "1"))
    assert failed.returncode == 1
    assert "http_429 4" in failed.stdout
    assert forgiven.returncode == 0


async def test_a_target_that_is_not_there_is_status_one_and_no_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = await bench(tmp_path, "--url", f"http://127.0.0.1:{port}", "-m", "m", "-n", "3")
    assert done.returncode == 1
    assert "upstream_unreachable 3" in done.stdout
    assert "Traceback" not in done.stderr


async def test_a_sweep_reports_the_last_sustained_rate(tmp_path: Path) -> None:
    async with serve(answering(plain(b"{}", status=b"500 Oops"))) as server:
        done = await bench(tmp_path, *to(server, "--sweep", "100:300:100", "-n", "5"))
    assert done.returncode == 1
    assert "sustained none of these rates" in done.stdout
    assert len(server.requests) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
async def test_an_interrupt_shows_what_was_measured_so_far(tmp_path: Path) -> None:
    words = ("bench", "--json", "--warmup", "0", "-d", "1h", "--model", "m")
    tenth = anyio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(GOOD)
            if len(server.requests) == 10:
                tenth.set()

    with anyio.fail_after(30):
        async with serve(script) as server:
            process = await anyio.open_process(
                [*COMMAND, *words, "--url", server.url], cwd=tmp_path, env=environment()
            )
            async with process:
                await tenth.wait()
                process.send_signal(signal.SIGINT)
                assert process.stdout is not None
                output = b"".join([piece async for piece in process.stdout])
                assert await process.wait() == 1
    document = json.loads(output)
    assert document["interrupted"]
    assert document["targets"][0]["steps"][0]["merged"]["succeeded"] >= 9


@pytest.mark.parametrize(
    "words, said",
    [
        (("--url", "http://host"), "name a model"),
        (("--url", "nonsense", "-m", "m"), "--url nonsense"),
        (("--url", "http://host", "-m", "m", "--sweep", "9:1:1"), "--sweep 9:1:1"),
        (("--url", "http://host", "-m", "m", "--payload", "absent"), "--payload absent: cannot be read"),
        (("--url", "http://host", "-m", "m", "--chart", "no/where.svg"), "there is no such folder"),
        (("--url", "http://host", "-m", "m", "--api-key", "${NOT_SET_ANYWHERE}"), "NOT_SET_ANYWHERE"),
        (("--url", "http://host", "-m", "m", "--header", "nonsense"), "NAME: VALUE"),
    ],
)
async def test_a_wrong_use_is_one_line_and_status_two(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = await bench(tmp_path, *words)
    assert done.returncode == 2
    assert said in complaint(done)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--url", "http://host", "--rate", "0"),
        ("--url", "http://host", "--rate", "5", "-c", "5"),
        ("--url", "http://host", "--duration", "soon"),
        ("--url", "http://host", "--count", "0"),
        ("--url", "http://host", "--max-failures", "2"),
    ],
)
async def test_a_flag_that_cannot_be_is_a_usage_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = await bench(tmp_path, *words)
    assert done.returncode == 2
    assert "usage: callboard bench" in done.stderr
