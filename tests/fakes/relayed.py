"""A served runtime in front of a programmable upstream, and a client that can leave in every way there is.

Without tools of its own the runtime passes requests on (the relay path); with one, actors answer them. The
model ``demo-model`` is called ``fake-1`` upstream.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Literal, Self

import anyio
from msgspec import Struct
from msgspec.structs import astuple

from callboard.actors.rate_limiter import Accounts
from callboard.providers.script import Script
from callboard.serving.http1 import ListenLimits
from callboard.tools.function import FunctionTool
from tests.fakes.company import Stage
from tests.fakes.served import Carrier, Served, served
from tests.fakes.upstream import FakeUpstream, serve_upstream

Leave = Literal["fin", "rst"]
CHAT_PATH = "/v1/chat/completions"


class Relayed(Struct, frozen=True, kw_only=True, eq=False):
    """The server, what is behind it, and what it logged."""

    upstream: FakeUpstream
    server: Served
    stage: Stage

    async def settled(self) -> Accounts:
        """The accounts once nothing is in work and nothing is reserved."""
        return await settled(self.server)

    async def closing_line(self) -> dict[str, str]:
        """The fields of the first request's closing line, which comes after its answer."""
        with anyio.fail_after(5):
            while not (found := [line for line in self.stage.lines() if "request closed" in line]):
                await anyio.lowlevel.checkpoint()
        return dict(part.split("=", 1) for part in found[0].split() if "=" in part)

    async def outcomes(self) -> list[tuple[str, str]]:
        """Request and outcome of every ledger line, once the books are closed; they must balance."""
        accounts = await self.settled()
        for books in (accounts.tokens, accounts.cost_picousd):
            assert books.open == 0
            assert books.reserved == books.settled + books.released
        return [(line.request_id, line.outcome) for line in accounts.recent]

    async def left_line(self, request_id: str) -> None:
        """Wait for the closing line of a request whose client left; there must be one, and only one."""
        with anyio.fail_after(5):
            while not (found := self._closed(request_id)):
                await anyio.lowlevel.checkpoint()
        assert len(found) == 1
        assert "status=499" in found[0]
        assert "error_type=cancelled" in found[0]

    def _closed(self, request_id: str) -> list[str]:
        said = f'msg="request closed" request_id={request_id} '
        return [line for line in self.stage.lines() if said in line]


def working(server: Served, actor: str | None = None) -> int:
    """How many requests an actor works on or lets wait; by default all actors together."""
    count, nodes = 0, [server.runtime.snapshot()]
    while nodes:
        node = nodes.pop()
        below, here = node.get("children", ()), node.get("working", 0)
        assert isinstance(below, tuple)
        assert isinstance(here, int)
        nodes += below
        count += here if actor in (None, node["name"]) else 0
    return count


SPAWNED_BY_THE_KERNEL = "callboard.kernel.work."
"""Tasks of this name are timers of actors, which may stay, or work, which `working` counts."""


class Footprint(Struct, frozen=True, kw_only=True):
    """What a server holds at one moment: tasks (not those of tests and fakes), work, descriptors, places."""

    tasks: int
    working: int
    descriptors: int
    in_work: int

    @classmethod
    def of(cls, server: Served) -> Footprint:
        """The footprint now; needs asyncio."""
        names = [task.get_name() for task in asyncio.all_tasks()]
        return cls(
            tasks=sum(not name.startswith(("tests.", SPAWNED_BY_THE_KERNEL)) for name in names),
            working=working(server),
            descriptors=len(os.listdir("/dev/fd")),  # noqa: PTH208 - names are all there is
            in_work=server.admission.in_work,
        )

    async def restored(self, server: Served) -> None:
        """Return when the server holds no more than this again."""
        now = Footprint.of(server)
        with anyio.move_on_after(5):
            while not now.within(self):
                await anyio.lowlevel.checkpoint()
                now = Footprint.of(server)
        assert now.within(self), (now, self)

    def within(self, bound: Footprint) -> bool:
        """Whether nothing here is more than in ``bound``."""
        return all(mine <= its for mine, its in zip(astuple(self), astuple(bound), strict=True))


async def settled(server: Served) -> Accounts:
    """The accounts once nothing is in work and nothing is reserved."""
    with anyio.fail_after(5):
        while server.admission.in_work:
            await anyio.lowlevel.checkpoint()
        accounts = await server.runtime.accounts()
        while accounts.tokens.open:
            await anyio.lowlevel.checkpoint()
            accounts = await server.runtime.accounts()
    return accounts


def openai_config(base_url: str, **more: object) -> dict[str, object]:
    """A configuration with ``demo-model`` at ``base_url``."""
    return {
        "providers": {"up": {"kind": "openai", "base_url": base_url, "max_connections": 100}},
        "models": {"demo-model": {"provider": "up", "upstream_name": "fake-1", "input": 1, "output": 2}},
        "assistants": {"default": {"model": "demo-model"}},
        **more,
    }


@asynccontextmanager
async def relayed(
    *,
    tools: Sequence[FunctionTool[..., object]] = (),
    config: Mapping[str, object] | None = None,
    limits: ListenLimits | None = None,
    carrier: Carrier = "own",
) -> AsyncIterator[Relayed]:
    """A server in front of an upstream, for the length of the block."""
    stage = Stage(unused=Script())
    async with (
        serve_upstream() as upstream,
        served(
            stage,
            tools=tools,
            config=openai_config(upstream.base_url, **(config or {})),
            limits=limits,
            carrier=carrier,
        ) as server,
    ):
        yield Relayed(upstream=upstream, server=server, stage=stage)


def chat_body(text: str = "hi", **more: object) -> dict[str, object]:
    """A chat completion request."""
    return {"model": "demo-model", "messages": [{"role": "user", "content": text}], **more}


class Way(Struct, frozen=True, kw_only=True):
    """How a client asks, and what the runtime has for it.

    Attributes:
        tools: The runtime's own; with any of them actors answer.
    """

    target: str = CHAT_PATH
    tools: Sequence[FunctionTool[..., object]] = ()

    def body(self, text: str = "hi", **more: object) -> dict[str, object]:
        """A request in the dialect of the target."""
        if self.target == CHAT_PATH:
            return chat_body(text, **more)
        return {"model": "demo-model", "input": text, **more}

    def ask(self, caller: Caller, text: str = "hi", *, request_id: str = "asked", **more: object) -> None:
        """Have a client ask."""
        caller.send(chat_request(self.body(text, **more), request_id=request_id, target=self.target))


def chat_request(
    body: object, *, request_id: str = "asked", fields: Sequence[str] = (), target: str = CHAT_PATH
) -> bytes:
    """A request as it is on the wire; by default one for a chat completion."""
    raw = json.dumps(body).encode()
    head = (
        f"POST {target} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"X-Request-Id: {request_id}",
        f"Content-Length: {len(raw)}",
        *fields,
    )
    return "\r\n".join((*head, "\r\n")).encode() + raw


class RawAnswer(Struct, frozen=True, kw_only=True):
    """One answer as it came; names of fields in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def field(self, name: str) -> str | None:
        """The first field of this lower-case name."""
        return next((value for each, value in self.fields if each == name), None)


def raw_answers(received: bytes, *, bodiless: int = 0) -> list[RawAnswer]:
    """All answers in ``received``, which must hold nothing else and nothing half.

    Args:
        received: What came on one connection.
        bodiless: So many of the first answer HEAD.
    """
    found: list[RawAnswer] = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end, received[:200]
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        pairs = [each.partition(": ") for each in lines]
        fields = tuple((name.lower(), value) for name, _, value in pairs)
        body = b""
        if ("transfer-encoding", "chunked") in fields:
            body, rest = _dechunked(rest)
        elif status >= "200" and len(found) >= bodiless:
            length = int(dict(fields)["content-length"])
            assert len(rest) >= length, received[:200]
            body, rest = rest[:length], rest[length:]
        found.append(RawAnswer(status=int(status), fields=fields, body=body))
        received = rest
    return found


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, end, data = data.partition(b"\r\n")
        assert end, body[-200:]
        length = int(size, 16)
        assert data[length : length + 2] == b"\r\n"
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            return body, data


class Caller:
    """A client on a socket of its own, because only such a one can leave with a RST."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self._sock = socket.socket()
        if receive_buffer is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.connect(("127.0.0.1", port))
        self._sock.setblocking(False)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def ask(self, body: object, *, request_id: str = "asked") -> None:
        """Send a chat completion request, which has to fit the socket's buffer."""
        self.send(chat_request(body, request_id=request_id))

    def send(self, data: bytes) -> None:
        """Send bytes, which have to fit the socket's buffer."""
        assert self._sock.send(data) == len(data)

    def send_some(self, data: bytes) -> None:
        """Send as many bytes as fit the sockets' buffers."""
        with suppress(BlockingIOError):
            while data:
                data = data[self._sock.send(data) :]

    async def send_all(self, data: bytes, size: int = 1 << 20) -> None:
        """Send bytes in pieces of ``size``, as long as the server takes them."""
        for at in range(0, len(data), size):
            rest = data[at : at + size]
            while rest:
                try:
                    rest = rest[self._sock.send(rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._sock)
                except ConnectionError:
                    return
            await anyio.lowlevel.checkpoint()

    async def hears(self, *, within_s: float) -> bool:
        """Whether the server says something, or closes, before that time has passed."""
        with anyio.move_on_after(within_s):
            await anyio.wait_readable(self._sock)
            return True
        return False

    async def skim(self, words: bytes) -> int:
        """Read until ``words`` have come and forget what was before them; how many bytes it was."""
        tail, count = b"", 0
        while words not in tail:
            await anyio.wait_readable(self._sock)
            data = self._sock.recv(1 << 20)
            assert data, tail[-200:]
            count += len(data)
            tail = tail[-len(words) :] + data
        return count

    async def see_all(self) -> bytes:
        """Read until the server closes; everything that has come since the beginning."""
        with anyio.fail_after(5):
            while True:
                await anyio.wait_readable(self._sock)
                try:
                    data = self._sock.recv(65536)
                except ConnectionError:
                    data = b""
                if not data:
                    return self.seen
                self.seen += data

    async def see(self, words: bytes) -> None:
        """Read until ``words`` have come."""
        while words not in self.seen:
            await anyio.wait_readable(self._sock)
            data = self._sock.recv(65536)
            assert data, self.seen[-200:]
            self.seen += data

    def leave(self, how: Leave = "fin") -> None:
        """Close the connection."""
        if how == "rst":
            # Lingering for no time at all sends a RST instead of a FIN.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


class SilentUpstream:
    """Takes a request and never answers: not even a status comes.

    Attributes:
        asked: Set when the first bytes of a request have come.
        left: Set when its connection was closed.
        connections: Accepted so far.
    """

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.asked = anyio.Event()
        self.left = anyio.Event()
        self.connections = 0

    async def converse(self, stream: anyio.abc.SocketStream) -> None:
        """Hold one connection."""
        self.connections += 1
        async with stream:
            try:
                while True:
                    await stream.receive()
                    self.asked.set()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.left.set()


@asynccontextmanager
async def serve_silence() -> AsyncIterator[SilentUpstream]:
    """A silent upstream on a loopback port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    upstream = SilentUpstream(port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, upstream.converse)
        yield upstream
        tasks.cancel_scope.cancel()


class Clogged(Struct, frozen=True, kw_only=True, eq=False):
    """An upstream whose line of connections to accept is full: whoever connects waits."""

    base_url: str
    port: int
    listener: socket.socket

    def accepted(self) -> int:
        """Take every connection that was ever made, and say how many."""
        count = 0
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return count
            connection.close()
            count += 1


@contextmanager
def clogged() -> Iterator[Clogged]:
    """Such an upstream; one connection of ours is the one that fills it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.setblocking(False)
            yield Clogged(base_url=f"http://127.0.0.1:{port}/v1", port=port, listener=listener)
