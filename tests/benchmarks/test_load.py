"""The load generator's figures are those of the upstream's books, and what is wrong is told by kind."""

import socket
import subprocess
from pathlib import Path

import pytest

from benchmarks.gateways.loader import Load, Upstream
from tests.benchmarks.asking import answering_once, load, request

BRIEF = ("--seconds", "0.2", "--warm-up", "0.1", "--connections", "4")


def test_unary_counts_are_those_of_the_books(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    found = load(binaries[1], tmp_path, upstream.port, request("mock"), BRIEF)
    assert 0 < found.requests < found.total_requests
    assert found.total_requests == upstream.books().requests
    assert found.latency_us.count == found.requests
    assert not any(found.errors.values())
    assert found.requests_per_s == pytest.approx(found.requests / 0.2)


def test_chunks_are_those_of_the_books(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    body = request("mock-stream-37", stream=True)
    found = load(binaries[1], tmp_path, upstream.port, body, (*BRIEF, "--chunks", "37"))
    assert not any(found.errors.values())
    books = upstream.books()
    assert (found.total_requests, found.total_chunks) == (books.requests, books.chunks)
    assert found.total_chunks == 37 * found.total_requests


def test_the_last_stream_is_read_to_its_end(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    body = request("mock-paced-20ms-20", stream=True)
    found = load(binaries[1], tmp_path, upstream.port, body, (*BRIEF, "--chunks", "20", "--stagger", "0.05"))
    assert found.total_chunks == 20 * found.total_requests == upstream.books().chunks
    assert upstream.books().abandoned == 0
    assert found.chunk_latency_us.count == found.chunks > 0
    assert 0 < found.chunk_latency_us.p50 <= found.chunk_latency_us.max


@pytest.mark.parametrize(
    "model, more, kind",
    [
        ("mock-500", (), "status"),
        ("mock", ("--expect", "no such text"), "broken"),
        ("mock-stream-10", ("--chunks", "11"), "broken"),
        ("mock-stream-10", ("--chunks", "10", "--expect", "[ENDED]"), "broken"),
    ],
)
def test_what_is_wrong_is_told_by_kind(
    binaries: tuple[Path, Path],
    upstream: Upstream,
    tmp_path: Path,
    model: str,
    more: tuple[str, ...],
    kind: str,
) -> None:
    found = load(binaries[1], tmp_path, upstream.port, request(model, stream="stream" in model), BRIEF + more)
    assert (found.total_requests, found.requests) == (0, 0)
    assert found.errors[kind] > 0
    assert sum(found.errors.values()) == found.errors[kind]


def test_no_answer_in_time_is_an_error(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    found = load(binaries[1], tmp_path, upstream.port, request("mock-slow-60s"), (*BRIEF, "--timeout", "0.2"))
    assert found.errors["timeout"] == 4


def test_an_open_loop_starts_as_many_as_are_due(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    words = ("--seconds", "0.5", "--rate", "200", "--connections", "8")
    found = load(binaries[1], tmp_path, upstream.port, request("mock"), words)
    assert found.total_requests == 100 == upstream.books().requests


def test_an_open_loop_shows_a_stall_that_a_closed_one_hides(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    # Silent for 150 ms of every 200: requests that were due then wait, and one connection has to catch up.
    body = request("mock-stall-150ms-200ms")
    words = ("--seconds", "0.6", "--connections", "1")
    openly = load(binaries[1], tmp_path, upstream.port, body, (*words, "--rate", "100"))
    closed = load(binaries[1], tmp_path, upstream.port, body, words)
    assert openly.latency_us.p50 > 10_000
    assert openly.latency_us.max > 100_000
    assert closed.latency_us.p50 < openly.latency_us.p50


def test_no_more_are_begun_than_were_asked_for(
    binaries: tuple[Path, Path], upstream: Upstream, tmp_path: Path
) -> None:
    words = ("--seconds", "30", "--connections", "4", "--requests", "123")
    found = load(binaries[1], tmp_path, upstream.port, request("mock"), words)
    assert found.total_requests == 123 == upstream.books().requests


def test_a_text_that_is_repeated_whole_is_no_chunk(binaries: tuple[Path, Path], tmp_path: Path) -> None:
    text = b'["@0@"]["@0@"]["@0@@0@"]["@0@@0@@0@"][DONE]'
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + text
    with answering_once(answer) as port:
        words = ("--seconds", "0.1", "--requests", "1", "--chunks", "2")
        found = load(binaries[1], tmp_path, port, request("mock"), words)
    assert (found.total_requests, found.total_chunks) == (1, 2)


def test_an_answer_may_end_with_its_connection(binaries: tuple[Path, Path], tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{mock-says}"
    found = _load_against(answer, binaries[1], tmp_path)
    assert (found.total_requests, found.errors["broken"]) == (1, 0)


@pytest.mark.parametrize(
    "answer, kind",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{mock-says}", "closed"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nmock", "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nmock-saysHTTP/1.1 200", "broken"),
    ],
)
def test_a_cut_or_overlong_answer_does_not_count(
    binaries: tuple[Path, Path], tmp_path: Path, answer: bytes, kind: str
) -> None:
    found = _load_against(answer, binaries[1], tmp_path)
    assert (found.total_requests, found.errors[kind]) == (0, 1)


def test_nobody_listening_is_said_at_once(binaries: tuple[Path, Path], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(subprocess.CalledProcessError):
        load(binaries[1], tmp_path, port, request("mock"), BRIEF)


def _load_against(answer: bytes, binary: Path, folder: Path) -> Load:
    with answering_once(answer) as port:
        return load(binary, folder, port, request("mock"), ("--seconds", "0.1"))
