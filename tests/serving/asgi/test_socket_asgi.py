"""The application as an ASGI callable that is given a WebSocket, with a server that does as a test says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from callboard.providers.script import Script
from callboard.serving.assembly import build_app
from tests.fakes.company import Stage, company

pytestmark = pytest.mark.anyio
Event = MutableMapping[str, Any]
SCOPE: dict[str, Any] = {
    "type": "websocket",
    "path": "/v1/responses",
    "headers": [(b"host", b"localhost")],
    "http_version": "2",
}
ASK = {"type": "response.create", "model": "demo-model", "input": "hi", "store": False}


class Server:
    """Carries one socket.

    Attributes:
        sent: What the application sent, in order.
        holds: Whether the server takes its time over an event; asked before each.
        release: Ends that.
    """

    def __init__(self, holds: Callable[[Event], bool] = lambda _: False) -> None:
        self.sent: list[Event] = []
        self.held = anyio.Event()
        self.release = anyio.Event()
        self.gone = False
        self._holds = holds
        self._in, self._out = anyio.create_memory_object_stream[Event](100)

    def comes(self, kind: str, **more: object) -> None:
        """An event of the client's."""
        self._in.send_nowait({"type": f"websocket.{kind}", **more})

    def asks(self, **more: object) -> None:
        """A message of the client's."""
        self.comes("receive", text=json.dumps({**ASK, **more}))

    async def receive(self) -> Event:
        return await self._out.receive()

    async def send(self, event: Event) -> None:
        if self.gone:
            raise OSError("the client has left")
        if self._holds(event) and not self.held.is_set():
            self.held.set()
            await self.release.wait()
        self.sent.append(event)

    def messages(self) -> list[Any]:
        """What the client was told."""
        return [json.loads(each["text"]) for each in self.sent if each["type"] == "websocket.send"]

    async def until(self, true: Callable[[], bool]) -> None:
        """Return when that has become true."""
        with anyio.fail_after(5):
            while not true():
                await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Let go of the streams."""
        self._in.close()
        self._out.close()


@asynccontextmanager
async def carried(server: Server, stage: Stage, **scope: object) -> AsyncIterator[None]:
    """The application at work; it must have ended when the block has."""
    async with company(stage) as runtime:
        app = build_app(runtime)
        try:
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(app, {**SCOPE, **scope}, server.receive, server.send)
                    yield
        finally:
            server.close()


def completed(server: Server) -> int:
    """Turns that have come to their end, as far as the client knows."""
    return sum(each["type"] == "response.completed" for each in server.messages())


async def test_a_client_that_has_seen_the_end_before_we_have_may_ask_again() -> None:
    server = Server(holds=lambda event: "response.completed" in event.get("text", ""))
    async with carried(server, Stage(demo=Script())):
        server.comes("connect")
        server.asks()
        with anyio.fail_after(5):
            await server.held.wait()
        server.asks(input="again")
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert not [each for each in server.messages() if each["type"] == "error"]
        server.release.set()
        await server.until(lambda: completed(server) == 2)
        server.comes("disconnect", code=1000)


async def test_a_client_that_leaves_before_it_is_accepted_is_told_nothing() -> None:
    server, stage = Server(), Stage(demo=Script())
    async with carried(server, stage):
        server.comes("disconnect", code=1006)
    assert server.sent == []
    assert "status=499" in stage.lines()[-1]


async def test_a_server_that_cannot_deny_with_a_status_is_told_to_close() -> None:
    server, stage = Server(), Stage(demo=Script())
    async with carried(server, stage, path="/nothing"):
        server.comes("connect")
    assert server.sent == [{"type": "websocket.close"}]
    assert "status=404" in stage.lines()[-1]


async def test_a_server_that_can_is_given_the_whole_answer() -> None:
    server = Server()
    async with carried(
        server, Stage(demo=Script()), path="/nothing", extensions={"websocket.http.response": {}}
    ):
        server.comes("connect")
    start, body = server.sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert json.loads(body["body"])["error"]["code"] == "not_found"


async def test_a_client_whose_leaving_is_known_by_what_cannot_be_sent_is_gone() -> None:
    server = Server(holds=lambda event: "response.created" in event.get("text", ""))
    stage = Stage(demo=Script())
    async with carried(server, stage):
        server.comes("connect")
        server.asks()
        with anyio.fail_after(5):
            await server.held.wait()
        server.gone = True
        server.release.set()
        await server.until(lambda: any("status=499" in line for line in stage.lines()))
        server.comes("disconnect", code=1006)


async def test_binary_messages_are_not_taken() -> None:
    server = Server()
    async with carried(server, Stage(demo=Script())):
        server.comes("connect")
        server.comes("receive", bytes=b"{}")
    assert server.sent[-1]["code"] == 1003


async def test_a_mounted_application_answers_below_its_place() -> None:
    server = Server()
    async with carried(server, Stage(demo=Script()), root_path="/llm", path="/llm/responses"):
        server.comes("connect")
        server.asks()
        await server.until(lambda: completed(server) == 1)
        server.comes("disconnect", code=1000)
