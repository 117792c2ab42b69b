"""Asking the mock upstream, byte by byte where that matters."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from benchmarks.gateways.loader import Load, Upstream, run_load
from callboard.wire.sse import SseDecoder

PATIENCE_S = 5


def core() -> int:
    """One that we may use."""
    return min(os.sched_getaffinity(0))


def request(model: str, **more: object) -> bytes:
    """The body of a chat completion request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}).encode()


def ask(
    upstream: Upstream, body: bytes, path: str = "/v1/chat/completions", method: str = "POST"
) -> tuple[HTTPResponse, bytes]:
    """One request on a connection of its own."""
    with closing(HTTPConnection("127.0.0.1", upstream.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer, answer.read()


def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds, which it has to do soon."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"


def events(stream: bytes) -> list[bytes]:
    """The data of a whole stream's events."""
    decoder = SseDecoder()
    found = [event.data for event in decoder.feed(stream)]
    decoder.end()
    return found


@contextmanager
def plain_socket(upstream: Upstream) -> Iterator[socket.socket]:
    """For requests that no client library would send."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=PATIENCE_S) as sock:
        yield sock


def head(length: int, *more: str) -> bytes:
    """Head of a chat completion request with a body of this length."""
    lines = ("POST /v1/chat/completions HTTP/1.1", "Host: h", f"Content-Length: {length}", *more, "", "")
    return "\r\n".join(lines).encode()


def read_answers(sock: socket.socket, count: int) -> list[bytes]:
    """The JSON bodies of as many unstreamed answers, in their order."""
    found: list[bytes] = []
    with sock.makefile("rb") as file:
        for _ in range(count):
            length = 0
            while (line := file.readline()) not in (b"\r\n", b""):
                name, _colon, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            found.append(file.read(length))
    return found


def load(binary: Path, folder: Path, port: int, body: bytes, arguments: Sequence[str]) -> Load:
    """Run the load generator with this body."""
    file = folder / "body.json"
    file.write_bytes(body)
    return run_load(binary, core(), ["--port", str(port), "--body", str(file), *arguments])


@contextmanager
def answering_once(answer: bytes) -> Iterator[int]:
    """A port where the first request gets these bytes and an end, and nobody listens after that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                listener.close()
                sock.recv(65536)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        thread.join(PATIENCE_S)
