"""OpenAI's Agents SDK for Node, unmodified, against our server: HTTP and WebSocket, both dialects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.clients.test_openai_node_responses import stage
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

TOLD = {
    "responses": ("nothing", '"response.failed"'),
    "socket": ('"error"', '"response.failed"'),
    "chat": ("nothing", "cut"),
}
"""What the SDK says of a model that is not known, and of an answer that breaks off."""


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.mark.parametrize("kind", ["responses", "socket", "chat"])
async def test_it_understands_everything_we_say(
    kind: str, run_in_node: Callable[..., Awaitable[Any]]
) -> None:
    async with served(stage()) as server:
        outcome = await run_in_node("agents_node.mjs", f"{server.url}/v1", kind)
    assert outcome["runTools"] == {"output": "It is 42.", "responses": 2}
    assert outcome["runToolsStreamed"] == {"seen": "It is 42.", "output": "It is 42."}
    assert outcome["shaped"] == {"name": "word", "people": 7}
    if kind == "responses":
        assert outcome["session"] == {"outputs": ["It is 8.", "It is 10."], "items": 8}
        assert outcome["follows"] == "It is 10."
    assert TOLD[kind][0] in outcome["unknownModel"]
    assert TOLD[kind][1] in outcome["brokenOff"]
