"""A programmable OpenAI upstream: a real TCP server that answers exactly what a test queued.

    async with serve_upstream() as upstream:
        upstream.queue(chat_stream("Hello", " you"), failure(503, retry_after="1"))
        ... call upstream.base_url ...
        exchange = await upstream.exchange(0)      # waits until the first request has come in
        await exchange.peer_left.wait()            # the client closed before the answer was over

``POST`` requests take answers off the queue in order; an empty queue echoes the last user text. ``GET
/v1/models`` lists one model. An `Answer` is a status, headers and parts; a part is bytes, or a `Gate` that
holds the answer until the test opens it. Its ending says whether the answer is completed, cut with FIN or
RST, or stalls for ever.

The upstream keeps its own books: an answered call is charged its prompt at once and every part as it is sent,
so what a cancelled call cost is known as well.

It speaks HTTP/1.1 with keep-alive over its own sockets (anyio's waits work on every back end, and only a
socket of our own can send a RST when told to). To run it in a process of its own: ``python -m
tests.fakes.upstream [PORT]``.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from tests.fakes.openai_traffic import Answer, Gate, Json, Part, chat, chat_stream, failure, json_answer


@dataclass
class Exchange:
    """A request as it came, and what became of its answer."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    peer_left: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for each, value in self.headers if each == name.lower()), None)

    def json(self) -> Json:
        """The body, which has to be a JSON object."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


class _PeerLeftError(Exception):
    """The client closed its connection."""


class _Connection:
    """Buffered reading and plain writing on a non-blocking socket."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self.number = number
        self.reset = False

    async def fill(self) -> None:
        await anyio.wait_readable(self._sock)
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            raise _PeerLeftError from error
        if not data:
            raise _PeerLeftError
        self._buffer += data

    async def read_until(self, separator: bytes) -> bytes:
        while separator not in self._buffer:
            await self.fill()
        head, _, rest = bytes(self._buffer).partition(separator)
        self._buffer[:] = rest
        return head

    async def read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self.fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
            except OSError as error:
                raise _PeerLeftError from error

    def close(self) -> None:
        if self.reset:
            # Lingering for no time at all sends a RST instead of a FIN.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


class FakeUpstream:
    """The server; made by `serve_upstream`.

    Attributes:
        exchanges: Every request so far, in order of arrival.
        connections: TCP connections accepted so far.
        open_connections: Those that are still open.
        fallback: Answers ``POST`` requests that find the queue empty.
    """

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setblocking(False)
        self._queue: deque[Answer] = deque()
        self._changed = anyio.Event()
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.open_connections = 0
        self.fallback: Callable[[Exchange], Answer] = echo
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def queue(self, *answers: Answer) -> None:
        """Answer the next ``POST`` requests with these, one each."""
        self._queue.extend(answers)

    async def exchange(self, index: int) -> Exchange:
        """The request number ``index``, counted from 0; waits until it has come in."""
        await self.until(lambda: len(self.exchanges) > index)
        return self.exchanges[index]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when the condition holds; looked at whenever a request comes or a connection goes."""
        while not condition():
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def bill(self) -> tuple[int, int]:
        """Prompt and completion tokens charged so far, cancelled calls included."""
        return (
            sum(each.prompt_tokens for each in self.exchanges),
            sum(each.completion_tokens for each in self.exchanges),
        )

    async def serve(self) -> None:
        """Accept connections until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    await anyio.wait_readable(self._listener)
                    sock, _ = self._listener.accept()
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections += 1
                    tasks.start_soon(self._converse, _Connection(sock, self.connections))
        finally:
            self._listener.close()

    async def _converse(self, connection: _Connection) -> None:
        self.open_connections += 1
        try:
            while await self._exchange(connection):
                pass
        except _PeerLeftError:
            pass
        finally:
            connection.close()
            self.open_connections -= 1
            self._change()

    async def _exchange(self, connection: _Connection) -> bool:
        """One request and its answer; False where the connection is not to be used again."""
        exchange = await _read_request(connection)
        self.exchanges.append(exchange)
        self._change()
        answer = self._answer_to(exchange)
        completed = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_notice_leaving, connection, exchange, tasks.cancel_scope)
            try:
                completed = await _send(connection, exchange, answer)
            except _PeerLeftError:
                exchange.peer_left.set()
            tasks.cancel_scope.cancel()
        exchange.over.set()
        return completed and not exchange.peer_left.is_set()

    def _answer_to(self, exchange: Exchange) -> Answer:
        if exchange.method == "GET" and exchange.target.endswith("/models"):
            model = {"id": "fake-1", "object": "model", "created": 1, "owned_by": "fake"}
            return json_answer({"object": "list", "data": [model]})
        if exchange.method != "POST" or not exchange.target.endswith(("/chat/completions", "/responses")):
            return failure(404, message=f"no route {exchange.method} {exchange.target}")
        return self._queue.popleft() if self._queue else self.fallback(exchange)


async def _read_request(connection: _Connection) -> Exchange:
    head = (await connection.read_until(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.split("\r\n")
    method, target, _ = request_line.split(" ")
    pairs = [line.partition(":") for line in lines]
    headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
    length = int(dict(headers).get("content-length", "0"))
    body = await connection.read_exactly(length)
    return Exchange(method, target, headers, body, connection.number)


async def _notice_leaving(connection: _Connection, exchange: Exchange, scope: anyio.CancelScope) -> None:
    try:
        while True:
            await connection.fill()
    except _PeerLeftError:
        exchange.peer_left.set()
        scope.cancel()


async def _send(connection: _Connection, exchange: Exchange, answer: Answer) -> bool:
    exchange.prompt_tokens += answer.prompt_tokens
    length = sum(len(part.data) for part in answer.parts if isinstance(part, Part))
    framing = ("transfer-encoding", "chunked") if answer.chunked else ("content-length", str(length))
    fields = [f"{name}: {value}\r\n" for name, value in (*answer.headers, framing)]
    await connection.write(f"HTTP/1.1 {answer.status} Fake\r\n{''.join(fields)}\r\n".encode("latin-1"))
    left = length if answer.cut_after is None else min(answer.cut_after, length)
    for part in answer.parts:
        if isinstance(part, Gate):
            part.reached.set()
            await part.opened.wait()
            continue
        data = part.data[:left]
        left -= len(data)
        if data:
            exchange.completion_tokens += part.tokens
            await connection.write(b"%x\r\n%s\r\n" % (len(data), data) if answer.chunked else data)
    return await _end(connection, answer)


async def _end(connection: _Connection, answer: Answer) -> bool:
    match answer.ending:
        case "complete":
            await connection.write(b"0\r\n\r\n" if answer.chunked else b"")
            return True
        case "stall":
            await anyio.sleep_forever()
        case "fin" | "rst":
            connection.reset = answer.ending == "rst"
    return False


def echo(exchange: Exchange) -> Answer:
    """``echo: <last user text>``, streamed where the request asks for it."""
    document = exchange.json()
    messages = document["messages"]
    assert isinstance(messages, list)
    contents = [message["content"] for message in messages if message["role"] == "user"]
    last = contents[-1] if contents else ""
    text = last if isinstance(last, str) else "".join(part.get("text", "") for part in last)
    words = ["echo:", *(f" {word}" for word in text.split())]
    return chat_stream(*words) if document.get("stream") else chat("".join(words))


@asynccontextmanager
async def serve_upstream(port: int = 0) -> AsyncIterator[FakeUpstream]:
    """A running upstream on a loopback port; leaving stops it and closes its connections."""
    upstream = FakeUpstream(port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upstream.serve)
        yield upstream
        tasks.cancel_scope.cancel()


async def _main(port: int) -> None:
    async with serve_upstream(port) as upstream:
        sys.stdout.write(upstream.base_url + "\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(_main, int(sys.argv[1]) if len(sys.argv) > 1 else 0)
