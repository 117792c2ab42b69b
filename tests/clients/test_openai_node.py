"""OpenAI's own client for Node, unmodified, against our server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard.providers.script import AnyStep, Fail, Reply, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

CALL: list[AnyStep] = [Tool(name="add", id="c1", arguments={"a": 17, "b": 25})]
RESULT: list[AnyStep] = [Text(text="It is 42.")]


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


def stage() -> Stage:
    return Stage(
        plain=Script(replies=(Reply(steps=(Text(text="It is Paris."),)),), then="repeat"),
        tools=replies(CALL, RESULT),
        streamed_tools=replies(CALL, RESULT),
        limited=replies([Fail(error="upstream_rate_limited", status=429, retry_after_s=100)]),
    )


CONFIG = {
    "models": {
        "plain-model": {"provider": "plain"},
        "tools-model": {"provider": "tools"},
        "streamed-tools-model": {"provider": "streamed_tools"},
        "limited-model": {"provider": "limited"},
    }
}


async def test_the_client_for_node_understands_everything_we_say(
    run_in_node: Callable[..., Awaitable[Any]],
) -> None:
    async with served(stage(), config=CONFIG) as server:
        outcome = await run_in_node("openai_node.mjs", f"{server.url}/v1")
    usage = outcome["create"]["usage"]
    assert outcome["create"]["content"] == "It is Paris."
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3
    assert outcome["createStreamed"] == {"deltas": ["It ", "is ", "Paris."], "usage": usage}
    assert outcome["streamHelper"] == {"seen": "It is Paris.", "content": "It is Paris.", "finish": "stop"}
    ran = {"calls": [[17, 25]], "content": "It is 42.", "results": [["c1", "42"]]}
    assert outcome["runTools"] == ran
    assert outcome["runToolsStreamed"] == ran
    assert outcome["unknownModel"]["kind"] == "NotFoundError"
    assert outcome["unknownModel"]["code"] == "model_not_found"
    assert outcome["rateLimited"]["kind"] == "RateLimitError"
    assert outcome["rateLimited"]["retryAfter"] == "100"
    assert outcome["invalid"]["kind"] == "BadRequestError"
    assert outcome["models"] == [*CONFIG["models"], "auto"]
