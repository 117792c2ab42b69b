"""What the socket refuses: slow heads, large heads, requests that can be read in two ways."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
import pytest

from callboard.providers.script import Script, Text
from callboard.serving.http1 import ListenLimits
from tests.fakes.company import Stage, replies
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


async def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes; return everything until the server closes."""
    received = b""
    with anyio.fail_after(5):
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            await connection.send(sent)
            try:
                while True:
                    received += await connection.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.parametrize(
    "raw, status",
    [
        (b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 200),
        (b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"Host: other\r\nConnection: close\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
        (b"GET /health HTTP/1.1\r\nHost: a/#@b\r\nConnection: close\r\n\r\n", 421),
        (b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\nConnection: close\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X : a\r\nConnection: close\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000, 431),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            + SMUGGLED,
            400,
        ),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
            400,
        ),
        (b"nonsense\r\n\r\n", 400),
        (b"GET //health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 404),
        (b"GET /%2e%2e/health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 404),
    ],
)
async def test_one_verdict_for_each_head_and_never_two_answers(raw: bytes, status: int) -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await exchange(server.port, raw)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    if status != 200:
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /hea", b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nhalf"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_client_that_stops_sending_is_told_and_closed(sent: bytes) -> None:
    limits = ListenLimits(header_s=0.05, body_idle_s=0.05)
    async with served(Stage(demo=Script()), limits=limits) as server:
        answer = await exchange(server.port, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_kept_connection_serves_more_than_one_request() -> None:
    request = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    async with served(Stage(demo=Script())) as server:
        answer = await exchange(server.port, request + last)
    assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    config = {"server": {"max_body_bytes": 1000}}
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n"
    async with served(Stage(demo=Script()), config=config) as server:
        answer = await exchange(server.port, head)

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 600

        chunked = await server.client.post(
            "/v1/chat/completions", content=pieces(), headers={"content-type": "application/json"}
        )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert chunked.status_code == 413


async def test_one_connection_too_many_is_refused() -> None:
    limits = ListenLimits(connections=1)
    async with (
        served(Stage(demo=Script()), limits=limits) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as first,
    ):
        await first.send(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await first.receive()).startswith(b"HTTP/1.1 200 ")
        assert (await exchange(server.port, b"")).startswith(b"HTTP/1.1 503 ")


async def test_who_goes_on_sending_what_was_refused_is_closed_all_the_same() -> None:
    config = {"server": {"max_body_bytes": 1000}}
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n"
    async with served(Stage(demo=Script()), config=config) as server:
        with anyio.fail_after(10):
            async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
                await connection.send(head)
                assert (await connection.receive()).startswith(b"HTTP/1.1 413 ")
                with pytest.raises(anyio.BrokenResourceError):
                    while True:
                        await connection.send(b"x" * 65536)


async def test_all_clients_together_may_have_so_many_connections() -> None:
    limits = ListenLimits(connections=1)
    async with (
        served(Stage(demo=Script()), limits=limits) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as first,
    ):
        await first.send(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await first.receive()).startswith(b"HTTP/1.1 200 ")
        refused = await exchange(server.port, b"")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"too many connections" in refused


async def test_a_client_that_reads_nothing_is_cut() -> None:
    limits = ListenLimits(send_idle_s=0.05)
    stage = Stage(demo=Script(replies=replies([Text(text=("x" * 100_000 + " ") * 150)]).replies))
    body = b'{"model": "demo-model", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    async with served(stage, limits=limits) as server:
        with anyio.fail_after(10):
            async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
                await connection.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                while not server.admission.in_work:
                    await anyio.lowlevel.checkpoint()
                while server.admission.in_work:
                    await anyio.lowlevel.checkpoint()
    assert any("error_type=cancelled" in line for line in stage.lines())
