"""What a route asks of its visit: nothing that takes long keeps others from their work."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from callboard.serving.asgi.exchange import Event
from callboard.serving.assembly import build_app
from callboard.wire.json import STEP_BYTES
from tests.fakes.relayed import relayed

pytestmark = pytest.mark.anyio


class Turns:
    """How often another task had its turn."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self) -> None:
        """Take turns until cancelled."""
        while True:
            await checkpoint()
            self.count += 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_while_a_large_body_is_checked_others_go_on(path: str) -> None:
    body = b'{"model":"demo-model","messages":["' + b"\\\\" * (10 * STEP_BYTES)  # the end is missing
    sent: list[Event] = []
    turns = Turns()

    async def receive() -> Event:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Event) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost")]}
    async with relayed() as over, anyio.create_task_group() as tasks:
        app = build_app(over.server.runtime)
        tasks.start_soon(turns.take)
        await checkpoint()
        before = turns.count
        await app(scope, receive, send)
        during = turns.count - before
        tasks.cancel_scope.cancel()
    assert sent[0]["status"] == 400
    assert during >= len(body) // STEP_BYTES
