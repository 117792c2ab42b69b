"""An upstream that takes any request: what came is on record, and a script says what goes back, byte by byte.

    async with serve_anything(script) as upstream:
        ... call upstream.base_url ...
        asked = await upstream.asked(0)       # waits until the head of the first request has come in

Without a script every request is read to its end and answered ``200`` with ``[]``.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

EMPTY_LIST = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


@dataclass
class Asked:
    """A request as it came.

    Attributes:
        fields: In order, names in lower case.
        body: What of it was read so far, without its framing.
        head: As it came.
        left: Set when the caller closed before the script was over.
    """

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    head: bytes
    body: bytes = b""
    left: anyio.Event = field(default_factory=anyio.Event)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


class LeftError(Exception):
    """The caller closed its connection."""


class Line:
    """One connection, in the hands of a script. Nothing is read but what the script asks for.

    Attributes:
        asked: The request in work.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.asked = Asked("", "", (), b"")
        self._sock = sock
        self._buffer = bytearray()

    async def head(self) -> None:
        head = await self._until(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = line.split(" ")
        assert version == "HTTP/1.1"
        pairs = [each.partition(":") for each in lines]
        fields = tuple((name.lower(), value.strip()) for name, _, value in pairs)
        self.asked = Asked(method, target, fields, head)

    async def body(self) -> None:
        """Read the body to its end, however it is framed."""
        if self.asked.values("transfer-encoding") == ["chunked"]:
            while size := int(await self._until(b"\r\n"), 16):
                self.asked.body += await self._take(size)
                assert await self._until(b"\r\n") == b""
            assert await self._until(b"\r\n") == b""
        else:
            self.asked.body += await self._take(int((self.asked.values("content-length") or ["0"])[0]))

    async def until_body_has(self, count: int) -> None:
        """Read until so many bytes of the body have come; framing counts too."""
        while len(self._buffer) < count:
            await self._fill()

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
            except OSError as error:
                self.asked.left.set()
                raise LeftError from error

    async def until_left(self) -> None:
        """Wait until the caller closes, dropping what it sends."""
        while True:
            await self._fill()
            self._buffer.clear()

    def close(self) -> None:
        self._sock.close()

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            await self._fill()
        line = bytes(self._buffer[: self._buffer.index(end)])
        del self._buffer[: len(line) + len(end)]
        return line

    async def _fill(self) -> None:
        await anyio.wait_readable(self._sock)
        try:
            data = self._sock.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.asked.left.set()
            raise LeftError
        self._buffer += data


Script = Callable[[Line], Awaitable[None]]


async def empty_list(line: Line) -> None:
    """Answer with an empty list."""
    await line.body()
    await line.send(EMPTY_LIST)


def replying(answer: bytes) -> Script:
    """Answer with these bytes, once the whole request has come."""

    async def script(line: Line) -> None:
        await line.body()
        await line.send(answer)

    return script


class Anything:
    """The upstream.

    Attributes:
        requests: Those whose heads have come, in order.
        connections: Accepted so far.
        script: Run for each request, after its head; raising `LeftError` closes the connection.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Asked] = []
        self.connections = 0
        self.script = script
        self.base_url = ""
        self._changed = anyio.Event()

    async def asked(self, index: int) -> Asked:
        """Request number ``index``, from 0; waits until its head has come in."""
        while len(self.requests) <= index:
            await self._changed.wait()
        return self.requests[index]

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(listener)
                sock, _ = listener.accept()
                sock.setblocking(False)
                self.connections += 1
                tasks.start_soon(self._converse, Line(sock))

    async def _converse(self, line: Line) -> None:
        try:
            while True:
                await line.head()
                self.requests.append(line.asked)
                self._changed.set()
                self._changed = anyio.Event()
                await self.script(line)
        except LeftError:
            pass
        finally:
            line.close()


@asynccontextmanager
async def serve_anything(script: Script = empty_list) -> AsyncIterator[Anything]:
    """Such an upstream on a loopback port."""
    upstream = Anything(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        upstream.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.serve, listener)
            yield upstream
            tasks.cancel_scope.cancel()
