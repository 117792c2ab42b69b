"""The event loop is never blocked for long, whatever a client or an upstream sends.

The server runs as a process on a processor of its own and watches its loop from inside (`tests.soak.serve`).
Each attack is made a few times, once a second, so that the figures say how long one of them blocks the loop,
and not how densely an attacker may send them. What counts is the part of a lag that the loop computed; the
rest is other processes' on a busy machine, and only shown.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from tests.fakes.load import connect, in_ms, percentile, post
from tests.fakes.openai_traffic import chunk, completion, sse
from tests.fakes.relayed import chat_body
from tests.soak.process import Running, relay_config, running

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
MIB = 1 << 20
BODY = 8 * MIB - 200
TIMES = 3
P99_S, MAX_S = 0.01, 0.1
GREETING = b"good morning"
FRAMED = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = (
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"
)


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(autouse=True)
def other_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def with_messages(messages: bytes, *, stream: bool = False) -> bytes:
    """A chat completion request with these messages, as they are."""
    return b'{"model":"demo-model","stream":%s,"messages":[%s]}' % (b"true" if stream else b"false", messages)


def many(count: int, message: bytes = b'{"role":"user","content":"x"}') -> bytes:
    return b",".join([message] * count)


def called(numbers: range) -> bytes:
    """A message that calls a tool so many times."""
    call = b'{"id":"c%d","type":"function","function":{"name":"f","arguments":"{}"}}'
    return b'{"role":"assistant","tool_calls":[%s]}' % b",".join(call % number for number in numbers)


def results(numbers: range) -> bytes:
    """As many messages with results."""
    return b",".join(b'{"role":"tool","tool_call_id":"c%d","content":"x"}' % number for number in numbers)


ATTACHED = (
    b'{"type":"text","text":"[1 attached to tool result c0]"},'
    b'{"type":"image_url","image_url":{"url":"http://x/"}}'
)
REQUESTS: dict[str, Callable[[], bytes]] = {
    "8 MiB of small values": lambda: with_messages(b"1," * (BODY // 2) + b"1"),
    "8 MiB of empty strings": lambda: with_messages(b'"",' * (BODY // 3) + b'""'),
    "8 MiB of backslashes": lambda: with_messages(b'"' + b"\\\\" * (BODY // 2) + b'"'),
    "100,000 levels": lambda: with_messages(b"[" * 100_000 + b"]" * 100_000),
    "as many levels as bytes": lambda: with_messages(b"[" * (BODY // 2) + b"]" * (BODY // 2)),
    "700,000 keys": lambda: b"{" + b",".join(b'"%x":1' % n for n in range(700_000)) + b"}",
    "99,000 keys": lambda: (
        with_messages(many(1))[:-1] + b"," + b",".join(b'"%x":1' % n for n in range(99_000)) + b"}"
    ),
    "99,000 keys that collide": lambda: (
        with_messages(b'{"role":"user","content":"x"}')[:-1]
        + b","
        + b",".join(b'"k%d" : 1' % n for n in range(99_000))
        + b"}"
    ),
    "a number of a million digits": lambda: with_messages(b"1" * 1_000_000),
    "8 MiB of long numbers": lambda: with_messages(b",".join([b"1" * 999] * (BODY // 1000))),
    "100,000 messages": lambda: with_messages(many(100_000)),
    "33,000 messages": lambda: with_messages(many(33_000)),
    "33,000 messages with escapes": lambda: with_messages(
        many(33_000, b'{"role" : "user", "content" : "\\u003a \\u00e9 :"}')
    ),
    "one message of 8 MiB": lambda: with_messages(
        many(1, b'{"role":"user","content":"%s"}' % (b"x" * (BODY - 100)))
    ),
    "one message of 8 MiB of escapes": lambda: with_messages(
        many(1, b'{"role":"user","content":"%s"}' % (b"\\u00e9" * ((BODY - 100) // 6)))
    ),
    "33,000 messages in turn": lambda: with_messages(
        many(16_500, b'{"role":"user","content":"x"},{"role":"assistant","content":"x"}')
    ),
    "33,000 parts": lambda: with_messages(
        many(1, b'{"role":"user","content":[%s]}' % many(33_000, b'{"type":"text","text":"x"}'))
    ),
    "7,000 calls and their results": lambda: with_messages(
        b",".join((many(1), called(range(7_000)), results(range(7_000))))
    ),
    "8,000 rounds of tools": lambda: with_messages(
        b",".join(called(range(n, n + 1)) + b"," + results(range(n, n + 1)) for n in range(8_000))
    ),
    "13,000 attachments": lambda: with_messages(
        results(range(1)) + b',{"role":"user","content":[%s]}' % many(13_000, ATTACHED)
    ),
}
ITEMS: dict[str, Callable[[], bytes]] = {
    "33,000 messages in turn": lambda: many(
        16_500, b'{"role":"user","content":"x"},{"role":"assistant","content":"x"}'
    ),
    "11,000 calls and their results": lambda: b",".join(
        b'{"type":"function_call","call_id":"c%d","name":"f","arguments":"{}"},'
        b'{"type":"function_call_output","call_id":"c%d","output":"x"}' % (n, n)
        for n in range(11_000)
    ),
    "49,000 of an unknown type": lambda: many(49_000, b'{"type":"x"}'),
}
"""What a request for a response may consist of."""

PLAIN = json.dumps(chat_body("x")).encode()
STREAMED = json.dumps(chat_body("x", stream=True)).encode()


def framed(body: bytes, size: int, media: bytes = b"text/event-stream") -> bytes:
    """``body`` in chunks of ``size`` bytes."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return FRAMED % media + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def whole(body: bytes, fields: bytes = b"") -> bytes:
    return SIZED % (fields, len(body)) + body


def tool_calls(count: int) -> bytes:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}
        for n in range(count)
    ]
    return json.dumps(completion(None, finish_reason="tool_calls", tool_calls=calls)).encode()


def pieces_of_calls(count: int) -> bytes:
    """Two calls that go on in turns, in events of their own."""
    pieces = (
        {"index": n % 2, "id": f"call_{n}" if n < 2 else None, "function": {"name": "add", "arguments": text}}
        for n in range(count)
        for text in ('{"a":"' if n < 2 else "}" * 500,)
    )
    return b"".join(sse(chunk({"tool_calls": [piece]})) for piece in pieces)


def message(inner: bytes) -> bytes:
    """An unstreamed answer with this message."""
    return b'{"id":"x","choices":[{"index":0,"finish_reason":"stop","message":%s}]}' % inner


ANSWERS: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "a line of 1 MiB in chunks of one byte": (STREAMED, lambda: framed(b"data: " + b"x" * MIB, 1)),
    "a line of 1 MiB, streamed or not, in one": (STREAMED, lambda: framed(b"data: " + b"x" * MIB, MIB)),
    "100,000 events": (
        STREAMED,
        lambda: framed(sse(chunk({"content": "x"})) * 100_000 + b"data: [DONE]\n\n", 64 * 1024),
    ),
    "100,000 events in chunks of their own": (
        STREAMED,
        lambda: framed(sse(chunk({"content": "x"})) * 100_000, len(sse(chunk({"content": "x"})))),
    ),
    "8 MiB of empty lines": (STREAMED, lambda: framed(b"\n" * (8 * MIB), 64 * 1024)),
    "8 MiB of events that seem to say something": (
        STREAMED,
        lambda: framed(b'data: {"usage":{\n\n' * (8 * MIB // 18), 64 * 1024),
    ),
    "a gzip bomb": (PLAIN, lambda: whole(gzip.compress(bytes(200 * MIB), 9), b"content-encoding: gzip\r\n")),
    "a document of 16 MiB of small values": (
        PLAIN,
        lambda: whole(json.dumps({**completion("x"), "more": [1] * (16 * MIB // 3)}).encode()),
    ),
    "an answer of 30 MiB": (PLAIN, lambda: whole(json.dumps(completion("x " * (15 * MIB))).encode())),
    "1,000 tool calls at once": (PLAIN, lambda: whole(tool_calls(1_000))),
    "80,000 tool calls at once": (PLAIN, lambda: whole(tool_calls(80_000))),
    "2,700,000 pieces of content": (
        PLAIN,
        lambda: whole(message(b'{"content":[%s]}' % many(2_700_000, b"{}"))),
    ),
    "590,000 choices": (PLAIN, lambda: whole(b'{"choices":[%s]}' % many(590_000, b'{"message":0}'))),
    "two calls in 20,000 pieces": (STREAMED, lambda: framed(pieces_of_calls(20_000), 64 * 1024)),
    "15,000 tool calls in an event": (
        STREAMED,
        lambda: framed(
            sse(chunk({"tool_calls": [{"index": n, "function": {"name": "f"}} for n in range(15_000)]})),
            64 * 1024,
        ),
    ),
}


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """An upstream that gives these bytes, and a plain answer to greetings and to tools' results; its port."""
    plain = whole(json.dumps(completion("fine")).encode())

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            simple = len(body) < MIB and (GREETING in body or b'"role":"tool"' in body)
            writer.write(plain if simple else answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=64 * MIB)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Lag(NamedTuple):
    """How late the loop was, and how much of it by its own doing; in seconds."""

    late_s: float
    own_s: float


class Attack:
    """Makes an attack a few times, and reads what the server noticed of its loop meanwhile."""

    def __init__(self, folder: Path, path: str) -> None:
        self._folder = folder
        self._lags = folder / "lags"
        tool = ("--tool",) if path == "actors" else ()
        self._start = ("-m", "tests.soak.serve", *tool, "--lag", str(self._lags))

    async def run(self, request: bytes, answer: bytes, *, again: bool = False) -> tuple[list[Lag], set[int]]:
        """The loop's lags, and the statuses that came; with ``again``, each response is read again."""
        seen: set[int] = set()
        async with answering(answer) as upstream:
            config = relay_config(f"http://127.0.0.1:{upstream}/v1")
            async with running(
                self._folder, config, start=self._start, flags=(), cpu=0, level="info"
            ) as server:
                await self._once(server, post(chat_body(GREETING.decode())), set())  # imports, caches
                since = time.perf_counter()
                for _ in range(TIMES):
                    due = time.perf_counter() + 1
                    await self._once(server, request, seen, again=again)
                    await anyio.sleep(max(0.0, due - time.perf_counter()))
                until = time.perf_counter()
                rows = [line.split() for line in self._lags.read_text().splitlines()[:-1]]
                await server.stop()
        return [Lag(float(late), float(own)) for now, late, own in rows if since <= float(now) <= until], seen

    async def _once(self, server: Running, request: bytes, seen: set[int], *, again: bool = False) -> None:
        wire = await connect(server.port)
        with anyio.fail_after(60):
            try:
                wire.send(request)
                answer = await wire.answer()
                seen.add(answer.status)
                if again:
                    name = answer.body.partition(b'"id":"')[2].partition(b'"')[0]
                    wire.send(b"GET /v1/responses/%s?stream=true HTTP/1.1\r\nhost: localhost\r\n\r\n" % name)
                    assert b"data: [DONE]" in (await wire.answer()).body
            except ConnectionResetError:
                seen.add(0)
        wire.leave()


def judge(name: str, lags: list[Lag], seen: set[int], capsys: pytest.CaptureFixture[str]) -> None:
    """Show the figures, and hold them against what is promised."""
    own, late = [lag.own_s for lag in lags], [lag.late_s for lag in lags]
    assert 500 not in seen
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: own {in_ms(own)}; with the machine's {in_ms(late)}; {sorted(seen)}\n")
    assert percentile(own, 0.99) <= P99_S
    assert max(own) <= MAX_S


each_path = pytest.mark.parametrize("path", ["relay", "actors"])


@each_path
@pytest.mark.parametrize("name", list(REQUESTS))
async def test_no_request_blocks_the_loop(
    name: str, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lags, seen = await Attack(tmp_path, path).run(
        post(REQUESTS[name]()), whole(json.dumps(completion("x")).encode())
    )
    judge(f"{path}, {name}", lags, seen, capsys)


@pytest.mark.parametrize("name", list(ITEMS))
async def test_no_items_block_the_loop(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = post(b'{"model":"demo-model","input":[%s]}' % ITEMS[name]())
    request = request.replace(b"/v1/chat/completions", b"/v1/responses", 1)
    lags, seen = await Attack(tmp_path, "actors").run(request, whole(json.dumps(completion("x")).encode()))
    judge(f"responses, {name}", lags, seen, capsys)


@each_path
@pytest.mark.parametrize("size", [1, 20])
async def test_no_framing_blocks_the_loop(
    size: int, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    body = REQUESTS["one message of 8 MiB"]()
    request = head + framed(body, size).partition(b"\r\n\r\n")[2]
    lags, seen = await Attack(tmp_path, path).run(request, whole(json.dumps(completion("x")).encode()))
    judge(f"{path}, 8 MiB in chunks of {size}", lags, seen, capsys)


@each_path
@pytest.mark.parametrize("name", list(ANSWERS))
async def test_no_answer_blocks_the_loop(
    name: str, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, answer = ANSWERS[name]
    lags, seen = await Attack(tmp_path, path).run(post(body), answer())
    judge(f"{path}, {name}", lags, seen, capsys)


@pytest.mark.parametrize("name", ["100,000 events", "two calls in 20,000 pieces"])
async def test_no_stored_response_blocks_the_loop(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = post(b'{"model":"demo-model","input":"x","stream":true}')
    request = request.replace(b"/v1/chat/completions", b"/v1/responses", 1)
    lags, seen = await Attack(tmp_path, "actors").run(request, ANSWERS[name][1](), again=True)
    judge(f"stored, streamed and streamed again, {name}", lags, seen, capsys)
    assert seen == {200}
