"""A TCP server that is scripted byte by byte and keeps a record of what its clients did."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream
from msgspec import Struct

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Received(Struct, frozen=True, kw_only=True):
    """One request as it arrived. ``head`` is raw, up to and with the empty line."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    def values(self, name: bytes) -> list[bytes]:
        fields = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [value.strip() for field, _, value in fields if field.lower() == name]


class Peer:
    """One accepted connection, in the hands of a script."""

    def __init__(self, server: "HttpServer", stream: ByteStream, number: int) -> None:
        self.number = number
        self._server = server
        self._stream = stream
        self._buffer = b""

    async def request(self) -> Received:
        """Read one whole request; raises ``anyio.EndOfStream`` where the client closes instead."""
        head = await self.request_head()
        length = int(next(iter(Received(head=head, body=b"").values(b"content-length")), b"0"))
        while len(self._buffer) < length:
            self._buffer += await self._stream.receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        received = Received(head=head, body=body)
        self._server.requests.append(received)
        return received

    async def request_head(self) -> bytes:
        """Read the head of a request and leave its body alone."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self._stream.receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes of whatever comes."""
        while len(self._buffer) < count:
            self._buffer += await self._stream.receive()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    async def until(self, end: bytes) -> bytes:
        """Read up to ``end``, which is taken and not returned."""
        while end not in self._buffer:
            self._buffer += await self._stream.receive()
        data, _, self._buffer = self._buffer.partition(end)
        return data

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    def send_at_once(self, data: bytes) -> None:
        """Hand bytes to the system before the event loop takes another turn; none end what we send."""
        descriptor = self._stream.extra(SocketAttribute.raw_socket).fileno()
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as twin:
            if data:
                twin.sendall(data)
            else:
                twin.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        await self._stream.aclose()

    async def until_closed(self) -> None:
        """Wait until the client closes, dropping whatever it sends."""
        with suppress(*_GONE):
            while True:
                await self._stream.receive()


Script = Callable[[Peer], Awaitable[None]]


class HttpServer:
    """What the script's server saw.

    Attributes:
        requests: Whole requests in order of arrival.
        connects: Connections accepted so far.
        open: Connections whose script is still running.
        most_open: The highest ``open`` ever.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None) -> None:
        self.requests: list[Received] = []
        self.connects = 0
        self.open = 0
        self.most_open = 0
        self.port = 0
        self._script = script
        self._tls = tls
        self._changed = anyio.Event()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/" if self._tls else f"http://127.0.0.1:{self.port}/"

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        while self.open != count:
            await self._changed.wait()

    async def handle(self, stream: SocketStream) -> None:
        self.connects += 1
        number = self.connects
        self._count(1)
        try:
            async with stream:
                with suppress(*_GONE):
                    wrapped: ByteStream = stream
                    if self._tls is not None:
                        wrapped = await TLSStream.wrap(stream, server_side=True, ssl_context=self._tls)
                    await self._script(Peer(self, wrapped, number))
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self.open += change
        self.most_open = max(self.most_open, self.open)
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def serve(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """Run the script for every connection, on a port of the loopback interface, until the block is left."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = HttpServer(script, tls)
    server.port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.handle)
        yield server
        group.cancel_scope.cancel()


def answering(*pieces: bytes, then_close: bool = False) -> Script:
    """A script that answers every request on a connection with these bytes, one write each."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in pieces:
                await peer.send(piece)
            if then_close:
                return

    return script


def plain(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer with a content length."""
    fields = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, fields, len(body), body)


def chunked(*pieces: bytes) -> bytes:
    """An answer in chunks."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
