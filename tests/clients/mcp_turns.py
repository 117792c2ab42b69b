"""Turns of OpenAI's own client in both dialects, streamed, at a server that has tools of MCP servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from openai import AsyncOpenAI

from callboard.actors.tool_runner import ListTools
from callboard.runtime import Runtime
from tests.fakes.served import Served

Ask: TypeAlias = Callable[[Served], Awaitable[str]]

SAMPLING = {"enabled": True, "models": ["wise-model"]}
ROOT = "file:///data"


async def chat(server: Served) -> str:
    """The text of a streamed chat completion."""
    async with _client(server) as openai:
        stream = await openai.chat.completions.create(
            model="demo-model", messages=[{"role": "user", "content": "Try everything."}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def respond(server: Served) -> str:
    """The text of a streamed response."""
    async with (
        _client(server) as openai,
        openai.responses.stream(model="demo-model", input="Try everything.") as stream,
    ):
        return (await stream.get_final_response()).output_text


ASKS = (chat, respond)


async def offered(runtime: Runtime, *, until: frozenset[str]) -> set[str]:
    """The names of the tools on offer, as soon as all these are among them."""
    names: set[str] = set()
    while not until <= names:
        names = {each.name for each in await runtime.tool_runner.ask(ListTools())}
        await anyio.sleep(0.01)
    return names


def _client(server: Served) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=30)
