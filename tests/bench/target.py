"""Targets for the loader: scripts for `tests.fakes.http_server`, and calls that go there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from callboard.bench.attempt import Call, Outcome
from callboard.bench.plan import Api
from callboard.transport import DialGuard, HttpRequest, PooledClient, Timeouts
from tests.fakes.http_server import Peer, Script, chunked, plain

ANSWER = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
)
GOOD = plain(ANSWER)


def data(*documents: str) -> list[bytes]:
    """One server-sent event for each document."""
    return [f"data: {document}\n\n".encode() for document in documents]


def delta(text: str) -> str:
    """A chat chunk with content."""
    return f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}'


FINISH = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
USAGE = '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}'
DONE = "[DONE]"
CHAT_STREAM = chunked(*data(delta("a"), delta("b"), delta("c"), FINISH, USAGE, DONE))


def call(url: str, *, api: Api = "chat", stream: bool = False, timeout_s: float = 5.0) -> Call:
    """A request to ``url``."""
    timeouts = Timeouts(connect_s=timeout_s, first_byte_s=timeout_s, idle_s=timeout_s, total_s=timeout_s)
    request = HttpRequest(method="POST", url=url, body=b'{"model":"m"}', timeouts=timeouts)
    return Call(request=request, api=api, stream=stream)


@asynccontextmanager
async def client(connections: int = 100) -> AsyncIterator[PooledClient]:
    """A client that may dial this machine."""
    guard = DialGuard(frozenset({"127.0.0.1"}))
    async with PooledClient(max_connections_per_host=connections, guard=guard) as made:
        yield made


def answering_in_turn(answers: Sequence[bytes]) -> Script:
    """Each request, on whichever connection, gets the next answer; the last one is repeated."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


async def silent(peer: Peer) -> None:
    """Takes requests and never answers."""
    await peer.request()
    await peer.until_closed()


class Stalling:
    """Answers at once, but for ``stall_s`` seconds, which request number ``after`` begins, not at all.

    Attributes:
        stalled: Requests that came during the stall.
    """

    def __init__(self, *, after: int, stall_s: float) -> None:
        self.stalled = 0
        self._after = after
        self._stall_s = stall_s
        self._seen = 0
        self._over_at = 0.0

    async def script(self, peer: Peer) -> None:
        while True:
            await peer.request()
            self._seen += 1
            if self._seen == self._after:
                self._over_at = anyio.current_time() + self._stall_s
            left_s = self._over_at - anyio.current_time()
            if left_s > 0:
                self.stalled += 1
                await anyio.sleep(left_s)
            await peer.send(GOOD)


def outcome(  # every field that a test may want to set
    *,
    due_ms: float = 0,
    lag_ms: float = 0,
    first_ms: float = 0,
    ended_ms: float = 0,
    error: str | None = None,
    deltas: int = 0,
    tokens: int | None = None,
    gaps_ms: Sequence[float] = (),
) -> Outcome:
    """An outcome in milliseconds since 1 s after the clock's zero."""

    def ns(at_ms: float) -> int:
        return 1_000_000_000 + round(at_ms * 1e6)

    return Outcome(
        intended_ns=ns(due_ms),
        started_ns=ns(due_ms + lag_ms),
        first_ns=ns(first_ms) if first_ms else 0,
        ended_ns=ns(ended_ms),
        error=error,
        received_bytes=100,
        deltas=deltas,
        tokens=tokens,
        gaps_ns=[round(gap * 1e6) for gap in gaps_ms],
    )
