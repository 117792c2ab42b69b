"""Passes bytes on: ``splice_app.py PORT UPSTREAM_HOST:UPSTREAM_PORT``. `peers.splice` starts it."""

from __future__ import annotations

import asyncio
import sys

import uvloop


class Side(asyncio.Protocol):
    """One of two sockets: what it reads, the other writes. A slow reader holds its writer up.

    Attributes:
        transport: None before it is connected.
        other: None before that one is connected.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self._early: list[bytes] = []

    def join(self, other: Side) -> None:
        """From now on bytes go to ``other``; those that came before go first."""
        self.other = other
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as sockets give
        """Begin."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on, or keep it where there is nobody yet."""
        if self.other is None:
            self._early.append(data)
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End both."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        """Whoever reads here is slow."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


async def main(port: int, upstream: str) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    host, _, upstream_port = upstream.rpartition(":")
    opening: set[asyncio.Task[None]] = set()

    async def connect(client: Side) -> None:
        _, server = await loop.create_connection(Side, host, int(upstream_port))
        server.join(client)
        client.join(server)

    def welcome() -> Side:
        client = Side()
        task = loop.create_task(connect(client))
        opening.add(task)
        task.add_done_callback(opening.discard)
        return client

    server = await loop.create_server(welcome, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
