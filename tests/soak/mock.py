"""An upstream that costs next to nothing: every answer after the same wait, or a chunk every so often.

The programmable one, `tests.fakes.upstream`, is a server of tasks; measuring a server's limits needs one that
stays far from its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.openai_traffic import chunk, completion, sse

STAMP = b'"stamp '
"""Stands before the time at which a chunk was sent, in nanoseconds of ``time.perf_counter_ns``."""


class Mock(asyncio.Protocol):
    """One connection.

    Args:
        delay_s: From a request to its unstreamed answer.
        interval_s: Between two chunks of a streamed one, which ends after as many as were asked for by
            ``max_tokens``.
    """

    def __init__(self, delay_s: float, interval_s: float) -> None:
        self.delay_s = delay_s
        self.interval_s = interval_s
        self._transport = asyncio.Transport()
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it writes
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return
        document = json.loads(self._received[end + 4 :])
        self._received.clear()
        if document.get("stream"):
            self._write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            # Spread, so that not all streams have their chunks at the same moment.
            spread = self.interval_s * (hash(document["messages"][0]["content"]) % 1000) / 1000
            self._later(spread, document["max_tokens"])
        elif self.delay_s:
            self._timer = asyncio.get_running_loop().call_later(self.delay_s, self._write, WHOLE)
        else:
            self._write(WHOLE)

    def _later(self, after_s: float, left: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, self._next, left)

    def _next(self, left: int) -> None:
        if left == 0:
            last = sse(chunk({}, finish_reason="stop")) + b"data: [DONE]\n\n"
            self._write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))
            return
        data = sse(chunk({"content": f"stamp {time.perf_counter_ns()} "}))
        self._write(b"%x\r\n%s\r\n" % (len(data), data))
        self._later(self.interval_s, left - 1)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _whole() -> bytes:
    body = json.dumps(completion("Hello there.")).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


WHOLE = _whole()


@asynccontextmanager
async def mocked(*, delay_s: float = 0.0, interval_s: float = 1.0) -> AsyncIterator[int]:
    """A running mock on loopback; its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Mock(delay_s, interval_s), "127.0.0.1", 0, backlog=4096)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
