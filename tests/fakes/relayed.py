"""A served runtime in front of a programmable upstream, and a client that can leave in every way there is.

Without tools of its own the runtime passes requests on (the relay path); with one, actors answer them. The
model ``demo-model`` is called ``fake-1`` upstream.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import anyio
from msgspec import Struct

from callboard.actors.rate_limiter import Accounts
from callboard.providers.script import Script
from callboard.tools.function import FunctionTool
from tests.fakes.company import Stage
from tests.fakes.served import Carrier, Served, served
from tests.fakes.upstream import FakeUpstream, serve_upstream

Leave = Literal["fin", "rst"]


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
        "providers": {"up": {"kind": "openai", "base_url": base_url}},
        "models": {"demo-model": {"provider": "up", "upstream_name": "fake-1", "input": 1, "output": 2}},
        "assistants": {"default": {"model": "demo-model"}},
        **more,
    }


@asynccontextmanager
async def relayed(
    *,
    tools: Sequence[FunctionTool[..., object]] = (),
    config: Mapping[str, object] | None = None,
    carrier: Carrier = "own",
) -> AsyncIterator[Relayed]:
    """A server in front of an upstream, for the length of the block."""
    stage = Stage(unused=Script())
    async with (
        serve_upstream() as upstream,
        served(
            stage, tools=tools, config=openai_config(upstream.base_url, **(config or {})), carrier=carrier
        ) as server,
    ):
        yield Relayed(upstream=upstream, server=server, stage=stage)


def chat_body(text: str = "hi", **more: object) -> dict[str, object]:
    """A chat completion request."""
    return {"model": "demo-model", "messages": [{"role": "user", "content": text}], **more}


class Caller:
    """A client on a socket of its own, because only such a one can leave with a RST."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setblocking(False)
        self.seen = b""

    def ask(self, body: object, *, request_id: str = "asked") -> None:
        """Send a chat completion request, which has to fit the socket's buffer."""
        raw = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {request_id}\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        data = head.encode() + raw
        assert self._sock.send(data) == len(data)

    async def see(self, words: bytes) -> None:
        """Read until ``words`` have come."""
        while words not in self.seen:
            await anyio.wait_readable(self._sock)
            data = self._sock.recv(65536)
            assert data, self.seen
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
