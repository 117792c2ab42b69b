"""A client that measures: one connection (`Wire`), and load in a closed or an open loop. Needs asyncio.

The open loop sends at times fixed beforehand, on as many connections as that takes, and counts latency from
the time at which a request *should* have gone out. So a server that stalls cannot hide it by slowing the
generator down (no coordinated omission). The closed loop has a fixed number of clients that wait for their
answers; it finds out how much a server can do.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence

import anyio
from msgspec import Struct

IDLE_S = 2.0
"""A connection that was idle for longer is not used again: the server may be closing it."""


class Heard(Struct, frozen=True):
    """An answer."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        for line in self.head.split(b"\r\n")[1:]:
            each, _, value = line.partition(b":")
            if each.lower() == name:
                return value.strip()
        return None

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON, and is."""
        if self.header(b"content-type") != b"application/json":
            return False
        json.loads(self.body)
        return True


class Wire(asyncio.Protocol):
    """A connection of a client's; one request at a time. Made by `connect`.

    Attributes:
        received: What has come and was not taken by `answer`.
        lost: Whether the connection is over.
        idle_since_s: When it was last given back.
    """

    def __init__(self, sock: socket.socket, *, slow: bool = False) -> None:
        self.received = bytearray()
        self.lost = False
        self.idle_since_s = 0.0
        self.transport = asyncio.Transport()
        self._sock = sock
        self._slow = slow
        self._news: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self._slow:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.001, self._go_on)
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._tell()

    def send(self, data: bytes) -> None:
        """Write; never waits."""
        self.transport.write(data)

    def leave(self, *, reset: bool = False) -> None:
        """Close, with a FIN or with a RST."""
        if reset and not self.lost:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def see(self, words: bytes) -> None:
        """Return when ``words`` have come.

        Raises:
            ConnectionResetError: The connection ended before.
        """
        while words not in self.received:
            await self._more()

    async def until_lost(self) -> None:
        """Return when the server has closed."""
        while not self.lost:
            await self._wait()

    async def answer(self) -> Heard:
        """The next whole answer.

        Raises:
            ConnectionResetError: The connection ended before.
        """
        while (end := self.received.find(b"\r\n\r\n")) < 0:
            await self._more()
        heard = Heard(int(self.received[9:12]), bytes(self.received[:end]), b"")
        length = heard.header(b"content-length")
        if length is None:
            # The only place where a chunked body has this is its end, as ours have no such data.
            while not self.received.endswith(b"\r\n0\r\n\r\n"):
                await self._more()
            size = len(self.received)
        else:
            size = end + 4 + int(length)
            while len(self.received) < size:
                await self._more()
        body = bytes(self.received[end + 4 : size])
        del self.received[:size]
        if heard.header(b"connection") == b"close":
            self.transport.abort()
            self.lost = True
        return Heard(heard.status, heard.head, body)

    async def _more(self) -> None:
        before = len(self.received)
        while len(self.received) == before:
            if self.lost:
                raise ConnectionResetError(bytes(self.received[-200:]))
            await self._wait()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _go_on(self) -> None:
        if not self.lost:
            self.transport.resume_reading()


async def connect(port: int, *, slow: bool = False) -> Wire:
    """A connection to loopback; a ``slow`` one reads a little a millisecond."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if slow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        transport, wire = await loop.create_connection(lambda: Wire(sock, slow=slow), sock=sock)
    except BaseException:
        sock.close()
        raise
    wire.transport = transport
    return wire


def post(body: object, *, request_id: str = "", host: str = "localhost") -> bytes:
    """A chat completion request as bytes; the server names it where it has no ``request_id``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    name = f"X-Request-Id: {request_id}\r\n" if request_id else ""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"{name}Content-Length: {len(raw)}\r\n\r\n"
    ).encode() + raw


class Shot(Struct, frozen=True, kw_only=True):
    """One request of a load.

    Attributes:
        intended_s: When it should have gone out, from the load's start.
        latency_s: From then to its last byte.
        status: 0 where the connection broke instead.
        fair: Whether it is a 200, or a refusal in JSON that says when to come back.
    """

    intended_s: float
    latency_s: float
    status: int
    fair: bool


class Load:
    """Loads one port with one request."""

    def __init__(self, port: int, request: bytes) -> None:
        self.shots: list[Shot] = []
        self._port = port
        self._request = request
        self._idle: list[Wire] = []
        self._zero = time.perf_counter()

    async def closed_loop(self, clients: int, seconds: float) -> list[Shot]:
        """As many clients as given, each with one request at a time."""
        self._begin()

        async def client() -> None:
            while (now := time.perf_counter() - self._zero) < seconds:
                await self._shoot(now)

        async with anyio.create_task_group() as tasks:
            for _ in range(clients):
                tasks.start_soon(client)
        return self.shots

    async def open_loop(self, per_second: float, seconds: float) -> list[Shot]:
        """As many requests as given, evenly spread."""
        self._begin()
        async with anyio.create_task_group() as tasks:
            for number in range(int(per_second * seconds)):
                intended = number / per_second
                ahead = intended - (time.perf_counter() - self._zero)
                if ahead > 0:
                    await asyncio.sleep(ahead)
                tasks.start_soon(self._shoot, intended)
        return self.shots

    def close(self) -> None:
        """Close what is idle, which after a load is everything."""
        gc.unfreeze()
        while self._idle:
            self._idle.pop().leave()

    def _begin(self) -> None:
        # The generator must not be what is measured: no checks of the event loop, and until `close` nobody
        # looks through what other tests have left behind.
        asyncio.get_running_loop().set_debug(False)
        gc.freeze()
        self.shots = []
        self._zero = time.perf_counter()

    async def _shoot(self, intended: float) -> None:
        status, fair = 0, False
        try:
            wire = await self._wire()
            wire.send(self._request)
            heard = await wire.answer()
            status = heard.status
            refusal = status in (429, 503) and heard.header(b"retry-after") is not None and heard.is_json
            fair = status == 200 or refusal
            wire.idle_since_s = time.perf_counter()
            self._idle.append(wire)
        except OSError:
            pass
        latency = time.perf_counter() - self._zero - intended
        self.shots.append(Shot(intended_s=intended, latency_s=latency, status=status, fair=fair))

    async def _wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if not wire.lost and time.perf_counter() - wire.idle_since_s < IDLE_S:
                return wire
            wire.leave()
        return await connect(self._port)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def in_ms(values: Sequence[float]) -> str:
    """Seconds, as one line of figures."""
    if not values:
        return "none"
    shown = [(f"p{share:g}", percentile(values, share / 100)) for share in (50, 95, 99)]
    return " ".join(f"{name} {value * 1e3:.2f}" for name, value in (*shown, ("max", max(values)))) + " ms"


def statuses(shots: Sequence[Shot]) -> dict[int, int]:
    """How often each status came."""
    return dict(sorted(Counter(shot.status for shot in shots).items()))
