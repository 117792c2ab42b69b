"""The AI SDK, unmodified, against our server: its OpenAI provider in both dialects, and Open Responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.clients.test_openai_node_responses import stage
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.mark.parametrize("kind", ["responses", "chat", "open-responses"])
async def test_it_understands_everything_we_say(
    kind: str, run_in_node: Callable[..., Awaitable[Any]]
) -> None:
    async with served(stage()) as server:
        outcome = await run_in_node("ai_sdk.mjs", f"{server.url}/v1", kind)
    assert outcome["generate"] == {"text": "echo: hi", "finish": "stop", "output": 2}
    ran = {"calls": [[{"number": 21}, 42]], "text": "It is 42.", "steps": ["tool-calls", "stop"]}
    assert outcome["runTools"] == ran
    streamed = {"deltas": ["It ", "is ", "42."], "steps": ["tool-calls", "stop"], "output": 3}
    assert outcome["runToolsStreamed"] == streamed
    assert outcome["thinking"]["text"] == "It is so."
    if kind != "chat":  # which has no field for it that this client reads
        assert outcome["thinking"]["thought"] == "hm hm"
    assert outcome["shaped"] == {"name": "word", "people": 7}
    assert outcome["goesOn"] == "It is 8."
    assert outcome["brokenOff"]["error"]
    assert "cut" in outcome["brokenOff"]["told"]
    unknown, limited = outcome["unknownModel"], outcome["rateLimited"]
    assert (unknown["ours"], unknown["status"], unknown["retryable"]) == (True, 404, False)
    assert "nothing" in unknown["message"]
    assert (limited["ours"], limited["status"], limited["retryable"]) == (True, 429, True)
