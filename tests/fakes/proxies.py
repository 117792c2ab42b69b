"""HTTP proxies: real ones, that open tunnels and pass plain requests on, and keep a record of both."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError, OSError)


class Proxy:
    """What a proxy saw.

    Attributes:
        heads: The heads of the requests made to the proxy itself, in order.
        through: Bytes that went through tunnels towards the upstream.
        open: Connections of clients that are open.
        refuses: Answered to each CONNECT instead of opening a tunnel, None to open it.
        silent: Never answers.
    """

    def __init__(self, *, tls: ssl.SSLContext | None, refuses: bytes | None, silent: bool) -> None:
        self.heads: list[bytes] = []
        self.through = b""
        self.open = 0
        self.port = 0
        self.refuses = refuses
        self.silent = silent
        self._tls = tls
        self._changed = anyio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}/" if self._tls else f"http://127.0.0.1:{self.port}/"

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        while self.open != count:
            await self._changed.wait()

    async def handle(self, stream: SocketStream) -> None:
        """Serve one client."""
        self._count(1)
        try:
            async with stream:
                with suppress(*_GONE):
                    client: ByteStream = stream
                    if self._tls is not None:
                        client = await TLSStream.wrap(stream, server_side=True, ssl_context=self._tls)
                    await self._serve(client)
        finally:
            self._count(-1)

    async def _serve(self, client: ByteStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await client.receive()
        head, _, rest = head.partition(b"\r\n\r\n")
        self.heads.append(head)
        while self.silent:
            await client.receive()
        method, target, _ = head.partition(b"\r\n")[0].split(b" ")
        if method == b"CONNECT":
            await self._tunnel(client, target.decode())
        else:
            await self._pass_on(client, method, target.decode(), head, rest)

    async def _tunnel(self, client: ByteStream, authority: str) -> None:
        if self.refuses is not None:
            await client.send(self.refuses)
            return
        host, _, port = authority.rpartition(":")
        # Names that end in .test are ours to resolve, as they are a real proxy's; and IPv6 leads here too.
        if host.endswith((".test", "]")):
            host = "127.0.0.1"
        async with await anyio.connect_tcp(host, int(port)) as far:
            await client.send(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pump, client, far, tasks.cancel_scope)
                tasks.start_soon(self._pump, far, client, tasks.cancel_scope)

    async def _pump(self, source: ByteStream, sink: ByteStream, over: anyio.CancelScope) -> None:
        """Move bytes one way until either side closes; then the tunnel is over."""
        with suppress(*_GONE):
            while True:
                data = await source.receive()
                if isinstance(sink, SocketStream):
                    self.through += data
                await sink.send(data)
        over.cancel()

    async def _pass_on(
        self, client: ByteStream, method: bytes, target: str, head: bytes, body: bytes
    ) -> None:
        """Make one plain request in the client's name, and close."""
        authority, _, path = target.removeprefix("http://").partition("/")
        _, _, port = authority.partition(":")
        lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(b"proxy-")]
        request = b"\r\n".join([b"%s /%s HTTP/1.1" % (method, path.encode()), *lines, b"Connection: close"])
        lengths = [line.partition(b":")[2] for line in lines if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0] if lengths else b"0"):
            body += await client.receive()
        async with await anyio.connect_tcp("127.0.0.1", int(port)) as far:
            await far.send(request + b"\r\n\r\n" + body)
            with suppress(anyio.EndOfStream):
                while True:
                    await client.send(await far.receive())

    def _count(self, change: int) -> None:
        self.open += change
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def serve_proxy(
    *, tls: ssl.SSLContext | None = None, refuses: bytes | None = None, silent: bool = False
) -> AsyncIterator[Proxy]:
    """A proxy on a port of the loopback interface, until the block is left."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    proxy = Proxy(tls=tls, refuses=refuses, silent=silent)
    proxy.port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.handle)
        yield proxy
        tasks.cancel_scope.cancel()
