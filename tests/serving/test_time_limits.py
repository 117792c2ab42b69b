"""Upstreams that take their time, through the whole server."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from callboard.providers.script import Script
from tests.fakes.company import Stage
from tests.fakes.openai_traffic import Answer, Gate, chat
from tests.fakes.relayed import CHAT_PATH, chat_body, openai_config
from tests.fakes.served import served
from tests.fakes.upstream import serve_upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """The server runs on asyncio's loops only."""
    return ("asyncio", {"use_uvloop": True})


async def test_an_unstreamed_answer_may_take_longer_than_the_first_byte_of_a_stream() -> None:
    gate = Gate()
    whole = chat("at last")
    held = Answer(headers=whole.headers, parts=(gate, *whole.parts), chunked=False)
    timeouts = {"first_byte_s": 0.05, "idle_s": 0.05, "answer_s": 30}
    answers: list[httpx2.Response] = []
    async with serve_upstream() as upstream:
        upstream.fallback = lambda _: held
        up = {"kind": "openai", "base_url": upstream.base_url, "timeouts": timeouts}
        config = openai_config(upstream.base_url, providers={"up": up})
        async with served(Stage(unused=Script()), config=config) as server:

            async def ask() -> None:
                answers.append(await server.client.post(CHAT_PATH, json=chat_body()))

            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(ask)
                    await gate.reached.wait()
                    # This one was asked later, and has taken too long already.
                    streamed = await server.client.post(CHAT_PATH, json=chat_body(stream=True))
                    assert "too" in streamed.text or "silent" in streamed.text or "in time" in streamed.text
                    assert answers == []
                    gate.opened.set()
    assert [each.status_code for each in answers] == [200]
    assert "at last" in answers[0].text
