"""A session that ends while an answer is on its way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from callboard.tools.context import CallOrigin
from callboard.tools.mcp.session import open_session
from tests.fakes.mcp_servers import Heard, at

pytestmark = pytest.mark.anyio

TOOLS = {"tools": [{"name": "slow", "inputSchema": {"type": "object"}}]}
INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "late", "version": "1"},
}


class Late:
    """Answers a call when it is told that the session ends, and that only then."""

    def __init__(self) -> None:
        self.called, self.ending, self.answered = anyio.Event(), anyio.Event(), anyio.Event()

    async def serve(self, stream: SocketStream) -> None:
        """The requests of one connection."""
        async with stream:
            came = b""
            try:
                while True:
                    head, _, came = came.partition(b"\r\n\r\n") if b"\r\n\r\n" in came else (b"", b"", came)
                    if not head:
                        came += await stream.receive()
                        continue
                    length = int(dict(_fields(head)).get(b"content-length", b"0"))
                    while len(came) < length:
                        came += await stream.receive()
                    body, came = came[:length], came[length:]
                    await stream.send(await self._answer(head.split(b" ")[0], body))
                    if b'"tools/call"' in body:
                        self.answered.set()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async def _answer(self, method: bytes, body: bytes) -> bytes:
        if method == b"DELETE":
            self.ending.set()
            await self.answered.wait()
            await anyio.wait_all_tasks_blocked()  # so that the answer has been read
            return _response("200 OK", b"")
        request = json.loads(body) if method == b"POST" else {}
        if "id" not in request:
            return _response("202 Accepted" if request else "405 Method Not Allowed", b"")
        results = {"initialize": INITIALIZED, "tools/list": TOOLS, "tools/call": {"content": []}}
        if request["method"] not in results:
            return _response("404 Not Found", b"")
        if request["method"] == "tools/call":
            self.called.set()
            await self.ending.wait()
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": results[request["method"]]}
        return _response("200 OK", json.dumps(answer).encode())


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [(name.lower(), value.strip()) for name, _, value in lines]


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nmcp-session-id: one\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def serving(server: Late) -> AsyncIterator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/mcp"
        tasks.cancel_scope.cancel()


async def test_an_answer_that_nobody_waits_for_does_not_spoil_the_end_of_a_session() -> None:
    server = Late()
    with anyio.fail_after(10):
        async with serving(server) as url, open_session(at(url), Heard().desk()) as session:
            assert [each.name for each in await session.tools()] == ["slow"]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.call, "slow", {}, CallOrigin(request_id="req_1"))
                await server.called.wait()
                tasks.cancel_scope.cancel()
    assert server.answered.is_set()
