"""OpenAI's own client for Node, unmodified, against our Responses routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard.providers.script import Cut, Fail, Reply, Script, Text, Thinking, Tool
from tests.fakes.company import Stage
from tests.fakes.obliging import Obliging
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


def always(*steps: Text | Thinking | Tool | Fail | Cut) -> Script:
    """A model that does the same each time."""
    return Script(replies=(Reply(steps=steps),), then="repeat")


def stage() -> Stage:
    return Stage(
        demo=Obliging(),
        thinking=always(Thinking(thinking="hm hm"), Text(text="It is so.")),
        calling=always(
            Thinking(thinking="hm hm"), Text(text="It is so."), Tool(name="add", id="c1", arguments={"a": 1})
        ),
        cut=always(Text(text="half "), Cut()),
        limited=always(Fail(error="upstream_rate_limited", status=429, retry_after_s=100)),
    )


async def test_the_client_for_node_understands_everything_we_say(
    run_in_node: Callable[..., Awaitable[Any]],
) -> None:
    async with served(stage()) as server:
        outcome = await run_in_node("openai_node_responses.mjs", f"{server.url}/v1")
    usage = outcome["create"].pop("usage")
    assert outcome["create"] == {"text": "echo: hi", "status": "completed"}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    helped = outcome["streamHelper"]
    assert (helped["seen"], helped["text"]) == ("It is so.", "It is so.")
    assert helped["items"] == ["reasoning", "message", "function_call"]
    assert {
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.done",
        "response.completed",
    } <= set(helped["kinds"])
    assert outcome["chain"] == {"called": ["add", '{"a":4}'], "text": "It is 5."}
    gone = outcome["background"].pop("gone")
    assert outcome["background"] == {"gapless": True, "last": "response.completed", "text": "echo: hi"}
    assert gone["kind"] == "NotFoundError"
    assert outcome["resumedHelper"] == "echo: one two"
    assert outcome["conversation"] == ["one", "echo: one", "two", "echo: two"]
    assert outcome["sockets"]["texts"] == ["echo: one", "echo: two"]
    assert outcome["sockets"]["lost"]["type"] == "error"
    assert "resp_never" in outcome["sockets"]["lost"]["message"]
    assert outcome["brokenOff"] == {"last": "response.failed", "code": "server_error"}
    kinds = {
        name: (outcome[name]["kind"], outcome[name]["code"])
        for name in ("unknownModel", "rateLimited", "invalid", "unknownPrevious")
    }
    assert kinds == {
        "unknownModel": ("NotFoundError", "model_not_found"),
        "rateLimited": ("RateLimitError", "rate_limit_exceeded"),
        "invalid": ("BadRequestError", "invalid_value"),
        "unknownPrevious": ("NotFoundError", "previous_response_not_found"),
    }
