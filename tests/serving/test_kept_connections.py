"""Connections to an upstream, which carry one answer after the other."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.fakes.chatting import add
from tests.fakes.openai_traffic import Answer, Gate, chat_stream
from tests.fakes.relayed import chat_body, relayed

pytestmark = pytest.mark.anyio


async def test_the_end_of_the_framing_is_awaited_so_that_the_connection_is_kept() -> None:
    gates = [Gate() for _ in range(3)]

    async def let_end() -> None:
        for gate in gates:
            await gate.reached.wait()
            for _ in range(50):  # whoever would go on without the end does so now
                await checkpoint()
            gate.opened.set()

    async with relayed(tools=[add]) as over, anyio.create_task_group() as tasks:
        tasks.start_soon(let_end)
        for gate in gates:
            whole = chat_stream("said")
            over.upstream.queue(Answer(headers=whole.headers, parts=(*whole.parts, gate)))
            answer = await over.server.client.post("/v1/chat/completions", json=chat_body(stream=True))
            assert "said" in answer.text
        assert over.upstream.connections == 1
