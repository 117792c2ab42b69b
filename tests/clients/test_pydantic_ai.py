"""Pydantic AI, unmodified, against our server, in both dialects: tools, shapes, streams, thinking, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelAPIError, ModelHTTPError, NativeOutput
from pydantic_ai.messages import ThinkingPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from callboard.providers.script import Cut, Script, Text, Thinking
from tests.fakes.company import Stage, replies
from tests.fakes.obliging import Obliging
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

MODEL = "demo-model"
KINDS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatModel}


class City(BaseModel):
    """An answer in a shape."""

    name: str
    people: int


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The dialect."""
    chosen: str = request.param
    return chosen


@asynccontextmanager
async def asked(kind: str, script: Script | None = None, model: str = MODEL) -> AsyncIterator[Model]:
    """A model of the client's that is ours."""
    with anyio.fail_after(20):
        async with (
            served(Stage(demo=script or Obliging())) as server,
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        ):
            yield KINDS[kind](model, provider=OpenAIProvider(openai_client=client))


def with_tool(model: Model) -> Agent[None, str]:
    """An agent that can double."""
    agent = Agent(model, instructions="Be brief.")

    @agent.tool_plain
    def doubled(number: int) -> int:
        """Twice a number."""
        return 2 * number

    return agent


async def test_an_agent_runs_its_tool_and_answers(kind: str) -> None:
    async with asked(kind) as model:
        result = await with_tool(model).run("Twice 21?")
    assert result.output == "It is 42."
    returned = [
        part for each in result.all_messages() for part in each.parts if isinstance(part, ToolReturnPart)
    ]
    assert [(part.tool_name, part.content) for part in returned] == [("doubled", 42)]
    assert result.usage.requests == 2
    assert result.usage.output_tokens > 0


async def test_the_same_as_a_stream(kind: str) -> None:
    async with asked(kind) as model, with_tool(model).run_stream("Twice 21?") as result:
        deltas = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert deltas == ["It ", "is ", "42."]


async def test_an_answer_in_a_shape_by_schema_and_by_tool(kind: str) -> None:
    async with asked(kind) as model:
        native = await Agent(model, output_type=NativeOutput(City)).run("A city of 7?")
        by_tool = await Agent(model, output_type=City).run("A city of 8?")
    assert native.output == City(name="word", people=7)
    assert by_tool.output == City(name="word", people=8)


async def test_a_conversation_goes_on(kind: str) -> None:
    async with asked(kind) as model:
        agent = with_tool(model)
        first = await agent.run("Twice 4?")
        second = await agent.run("Twice 5?", message_history=first.all_messages())
    assert second.output == "It is 10."


async def test_an_unknown_model_and_a_cut_answer_are_errors(kind: str) -> None:
    async with asked(kind, model="nothing") as model:
        with pytest.raises(ModelHTTPError) as missing:
            await Agent(model).run("hi")
    async with asked(kind, replies([Text(text="half "), Cut()])) as model:
        with pytest.raises(ModelAPIError, match="cut"):
            async with Agent(model).run_stream("hi") as result:
                await result.get_output()
    assert missing.value.status_code == 404


async def test_what_the_model_thought_comes_along() -> None:
    script = replies([Thinking(thinking="hm hm"), Text(text="Yes.")])
    async with asked("responses", script) as model:
        result = await Agent(model).run("Well?")
    thoughts = [
        part for each in result.all_messages() for part in each.parts if isinstance(part, ThinkingPart)
    ]
    assert [part.content for part in thoughts] == ["hm hm"]
    assert result.output == "Yes."


async def test_turns_follow_each_other_by_the_id_of_the_last() -> None:
    follow = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
    async with asked("responses") as model:
        agent = with_tool(model)
        first = await agent.run("Twice 4?", model_settings=follow)
        second = await agent.run("Twice 5?", message_history=first.all_messages(), model_settings=follow)
    assert (first.output, second.output) == ("It is 8.", "It is 10.")
