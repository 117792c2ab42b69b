"""A small HTTP/2 server over TLS, on the h2 library: it speaks h2 and nothing else, and a script answers.

async def script(call: Call) -> None:
    await call.respond(200)
    await call.send(b"hello", end=True)

async with serve_h2(script, tls=context) as server: ...
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.tls import TLSAttribute, TLSStream

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError, OSError)


class Call:
    """One stream: a request, and the means to answer it.

    Attributes:
        fields: The request's fields, pseudo ones included.
        body: What has come of its body.
        complete: Set when the request is whole.
        sent: Bytes of the answer's body that went out.
    """

    def __init__(self, connection: Connection, number: int, fields: dict[str, str]) -> None:
        self.connection = connection
        self.number = number
        self.fields = fields
        self.body = b""
        self.complete = anyio.Event()
        self.sent = 0

    async def respond(self, status: int | str, *fields: tuple[str, str], end: bool = False) -> None:
        """Send the head of the answer."""
        self.connection.h2.send_headers(self.number, [(":status", str(status)), *fields], end_stream=end)
        await self.connection.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send a piece of the body; waits while the client's window is closed."""
        core, at = self.connection.h2, 0
        while at < len(data):
            room = min(core.local_flow_control_window(self.number), core.max_outbound_frame_size)
            if not room:
                await self.connection.window_opens()
                continue
            piece = data[at : at + room]
            core.send_data(self.number, piece)
            self.sent += len(piece)
            at += len(piece)
            await self.connection.flush()
        if end:
            core.end_stream(self.number)
            await self.connection.flush()

    async def trailers(self, *fields: tuple[str, str]) -> None:
        """End the answer with fields."""
        self.connection.h2.send_headers(self.number, fields, end_stream=True)
        await self.connection.flush()

    async def send_empty(self, count: int) -> None:
        """Send so many frames without content."""
        for _ in range(count):
            self.connection.h2.send_data(self.number, b"")
        await self.connection.flush()

    async def give_up(self) -> None:
        """Reset the stream."""
        self.connection.h2.reset_stream(self.number, h2.errors.ErrorCodes.INTERNAL_ERROR)
        await self.connection.flush()


Script = Callable[[Call], Awaitable[None]]


class Connection:
    """One connection of a client."""

    def __init__(self, server: H2Server, stream: TLSStream, tasks: TaskGroup) -> None:
        # Scripts may send what HTTP/2 forbids.
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self._server = server
        self._stream = stream
        self._tasks = tasks
        self._calls: dict[int, Call] = {}
        self._sending = anyio.Lock()
        self._opened = anyio.Event()

    async def flush(self) -> None:
        """Send what is to be sent."""
        async with self._sending:
            await self._stream.send(self.h2.data_to_send())

    async def window_opens(self) -> None:
        """Wait until the client has made room."""
        await self._opened.wait()

    async def go_away(self, last: int | None = None) -> None:
        """Say that this connection ends, and which stream was the last one looked at, and close it."""
        self.h2.close_connection(last_stream_id=last)
        await self.flush()
        self._tasks.cancel_scope.cancel()

    async def serve(self) -> None:
        """Read until the client closes."""
        self.h2.initiate_connection()
        await self.flush()
        while True:
            for event in self.h2.receive_data(await self._stream.receive()):
                self._handle(event)
            await self.flush()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                number = event.stream_id or 0
                fields = {bytes(n).decode(): bytes(v).decode() for n, v in event.headers or ()}
                call = self._calls[number] = Call(self, number, fields)
                self._server.calls.append(call)
                self._tasks.start_soon(self._run, call)
            case h2.events.DataReceived():
                number = event.stream_id or 0
                self._calls[number].body += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            case h2.events.StreamEnded():
                self._calls[event.stream_id or 0].complete.set()
            case h2.events.WindowUpdated():
                self._opened.set()
                self._opened = anyio.Event()

    async def _run(self, call: Call) -> None:
        with suppress(*_GONE, h2.exceptions.StreamClosedError, h2.exceptions.ProtocolError):
            await call.complete.wait()
            await self._server.script(call)


class H2Server:
    """What the server saw.

    Attributes:
        calls: Every request so far.
        connects: Connections that chose h2 so far.
        open: Those that are open.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.connects = 0
        self.open = 0
        self.port = 0
        self._tls = tls
        self._changed = anyio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}/"

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        while self.open != count:
            await self._changed.wait()

    async def handle(self, stream: SocketStream) -> None:
        """Serve one client."""
        async with stream:
            with suppress(*_GONE):
                wrapped = await TLSStream.wrap(stream, server_side=True, ssl_context=self._tls)
                if wrapped.extra(TLSAttribute.alpn_protocol) != "h2":
                    return
                self.connects += 1
                self._count(1)
                try:
                    async with anyio.create_task_group() as tasks:
                        with suppress(*_GONE, h2.exceptions.ProtocolError):
                            await Connection(self, wrapped, tasks).serve()
                        tasks.cancel_scope.cancel()
                finally:
                    self._count(-1)

    def _count(self, change: int) -> None:
        self.open += change
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def serve_h2(script: Script, *, tls: ssl.SSLContext) -> AsyncIterator[H2Server]:
    """A server on a port of the loopback interface, until the block is left."""
    tls.set_alpn_protocols(["h2"])
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = H2Server(script, tls)
    server.port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()
