"""CPU microseconds of one buffered POST, client by client, against a small server in a process of its own.

    python -m benchmarks.micro.http_client [--calls 20000] [--rounds 3] [--loop uvloop|asyncio|trio]

Prints one line per client and concurrency: the median of the rounds, which are interleaved so that a noisy
machine disturbs all clients alike. Only this process's CPU time is counted, the server's is not. The line
"bare stream" sends and receives the same bytes over anyio alone: what is above it is the client's own cost.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
from anyio.abc import SocketStream

from callboard.transport.general import GeneralClient
from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpClient, HttpRequest
from callboard.transport.pooled import PooledClient

Call = Callable[[], Awaitable[None]]

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"hello " * 100 + b'"}]}'
HEADERS = (("authorization", "Bearer key"), ("content-type", "application/json"))
ANSWER_BODY = b'{"choices":[{"message":{"role":"assistant","content":"' + b"hello " * 50 + b'"}}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r\r\ndate: d\r\nserver: s\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(ANSWER_BODY), ANSWER_BODY)
)


class Upstream(asyncio.Protocol):
    """Answers every request with the same bytes; counts on bodies of the length we send."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0 and len(self._buffer) >= head_end + 4 + len(
            BODY
        ):
            self._buffer = self._buffer[head_end + 4 + len(BODY) :]
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(ANSWER)


def run_upstream(listener: socket.socket) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, sock=listener)
        await server.serve_forever()

    asyncio.run(main())


@asynccontextmanager
async def ours(client: HttpClient, url: str) -> AsyncIterator[Call]:
    async def call() -> None:
        request = HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY)
        async with await client.send(request) as response:
            if await response.read() != ANSWER_BODY:
                raise AssertionError

    yield call
    await client.aclose()


@asynccontextmanager
async def bare_stream(port: int) -> AsyncIterator[Call]:
    head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    idle: list[SocketStream] = []

    async def call() -> None:
        stream = idle.pop() if idle else await anyio.connect_tcp("127.0.0.1", port)
        await stream.send(head + BODY)
        left = len(ANSWER)
        while left:
            left -= len(await stream.receive())
        idle.append(stream)

    yield call
    for stream in idle:
        await stream.aclose()


@asynccontextmanager
async def plain_httpx2(url: str, capacity: int) -> AsyncIterator[Call]:
    limits = httpx2.Limits(max_connections=capacity, max_keepalive_connections=capacity)
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as client:

        async def call() -> None:
            response = await client.post(url, headers=dict(HEADERS), content=BODY)
            if response.content != ANSWER_BODY:
                raise AssertionError

        yield call


async def cpu_us_per_call(call: Call, calls: int, concurrency: int) -> float:
    left = 0  # calls that nobody has taken yet

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    before = 0.0
    for count in (concurrency * 2, calls):  # the first pass opens the connections
        left = count
        before = time.process_time()
        async with anyio.create_task_group() as group:
            for _worker in range(concurrency):
                group.start_soon(worker)
    return (time.process_time() - before) / calls * 1e6


async def measure(port: int, calls: int, rounds: int) -> None:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    guard = DialGuard(frozenset({"127.0.0.1"}))
    for concurrency in (1, 64):
        results: dict[str, list[float]] = {"bare stream": [], "pooled": [], "general": [], "httpx2": []}
        for _ in range(rounds):
            async with bare_stream(port) as call:
                results["bare stream"].append(await cpu_us_per_call(call, calls, concurrency))
            async with ours(PooledClient(guard=guard), url) as call:
                results["pooled"].append(await cpu_us_per_call(call, calls, concurrency))
            async with ours(GeneralClient(guard=guard), url) as call:
                results["general"].append(await cpu_us_per_call(call, calls // 10, concurrency))
            async with plain_httpx2(url, 100) as call:
                results["httpx2"].append(await cpu_us_per_call(call, calls // 10, concurrency))
        for name, values in results.items():
            print(f"{name:11} concurrency {concurrency:3}  {statistics.median(values):8.1f} us/call")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=["uvloop", "asyncio", "trio"], default="uvloop")
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    upstream = multiprocessing.get_context("fork").Process(target=run_upstream, args=(listener,), daemon=True)
    upstream.start()
    backend = "trio" if options.loop == "trio" else "asyncio"
    loop = {} if backend == "trio" else {"use_uvloop": options.loop == "uvloop"}
    try:
        anyio.run(measure, port, options.calls, options.rounds, backend=backend, backend_options=loop)
    finally:
        upstream.terminate()
        upstream.join()


if __name__ == "__main__":
    main()
