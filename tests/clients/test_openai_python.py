"""OpenAI's own Python client, unmodified, against our server."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from openai.types.chat import ChatCompletionToolParam

import callboard
from callboard.providers.script import Fail, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

SHELL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "shell", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def client(server: Served) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


async def test_create() -> None:
    async with served(Stage(demo=replies([Text(text="Paris.")]))) as server, client(server) as openai:
        answer = await openai.chat.completions.create(
            model="demo-model", messages=[{"role": "user", "content": "What is the capital of France?"}]
        )
    assert answer.choices[0].message.content == "Paris."
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 1


async def test_create_streamed() -> None:
    async with served(Stage(demo=replies([Text(text="It is Paris.")]))) as server, client(server) as openai:
        stream = await openai.chat.completions.create(
            model="demo-model",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "It is Paris."
    )
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_the_stream_helper_assembles_text_and_calls() -> None:
    stage = Stage(
        demo=replies(
            [
                Text(text="Let me see."),
                Tool(name="shell", id="c1", arguments={"x": 1}),
                Tool(name="shell", id="c2", arguments={"x": 2}),
            ]
        )
    )
    async with (
        served(stage) as server,
        client(server) as openai,
        openai.chat.completions.stream(
            model="demo-model", messages=[{"role": "user", "content": "hi"}], tools=[SHELL]
        ) as stream,
    ):
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds
    message = final.choices[0].message
    assert message.content == "Let me see."
    calls = message.tool_calls or []
    assert [(call.id, call.function.arguments) for call in calls] == [("c1", '{"x":1}'), ("c2", '{"x":2}')]
    assert final.choices[0].finish_reason == "tool_calls"


async def test_a_tool_of_ours_is_not_the_clients_business() -> None:
    stage = Stage(demo=replies([Tool(name="add", arguments={"a": 1, "b": 2})], [Text(text="3")]))
    async with served(stage, tools=[add]) as server, client(server) as openai:
        answer = await openai.chat.completions.create(
            model="demo-model", messages=[{"role": "user", "content": "hi"}]
        )
    assert answer.choices[0].message.content == "3"
    assert not answer.choices[0].message.tool_calls


async def test_errors_are_the_clients_own_classes() -> None:
    stage = Stage(demo=replies([Fail(error="upstream_rate_limited", status=429, retry_after_s=100)]))
    async with served(stage) as server, client(server) as openai:
        with pytest.raises(RateLimitError) as limited:
            await openai.chat.completions.create(
                model="demo-model", messages=[{"role": "user", "content": "x"}]
            )
        with pytest.raises(NotFoundError) as missing:
            await openai.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(BadRequestError):
            await openai.chat.completions.create(model="demo-model", messages=[])
    assert limited.value.response.headers["retry-after"] == "100"
    assert missing.value.code == "model_not_found"


async def test_models_list() -> None:
    async with served(Stage(demo=Script())) as server, client(server) as openai:
        listed = [model.id async for model in await openai.models.list()]
    assert listed == ["demo-model"]
