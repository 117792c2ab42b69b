"""OpenAI's Agents SDK for Python, unmodified, against our server: loops, streams, hand-overs, sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    RunConfig,
    Runner,
    function_tool,
)
from openai import APIError, AsyncOpenAI, NotFoundError
from pydantic import BaseModel

from callboard.providers.script import Cut, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.obliging import Obliging
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

MODEL = "demo-model"
QUIET = RunConfig(tracing_disabled=True)
KINDS = {
    "responses": OpenAIResponsesModel,
    "socket": OpenAIResponsesWSModel,
    "chat": OpenAIChatCompletionsModel,
}


class City(BaseModel):
    """An answer in a shape."""

    name: str
    people: int


@function_tool
def doubled(number: int) -> int:
    """Twice a number."""
    return 2 * number


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """How the SDK talks to us."""
    chosen: str = request.param
    return chosen


@asynccontextmanager
async def asked(kind: str, script: Script | None = None, model: str = MODEL) -> AsyncIterator[Model]:
    """A model of the SDK's that is ours."""
    stage = Stage(demo=script or Obliging())
    with anyio.fail_after(20):
        async with (
            served(stage) as server,
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        ):
            chosen = KINDS[kind](model, openai_client=client)
            try:
                yield chosen
            finally:
                await chosen.close()


async def test_an_agent_runs_its_tool_and_answers(kind: str) -> None:
    async with asked(kind) as model:
        agent = Agent(name="a", instructions="Be brief.", model=model, tools=[doubled])
        result = await Runner.run(agent, "Twice 21?", run_config=QUIET)
    assert result.final_output == "It is 42."
    assert len(result.raw_responses) == 2
    assert result.raw_responses[0].usage.total_tokens > 0


async def test_the_same_as_a_stream(kind: str) -> None:
    async with asked(kind) as model:
        agent = Agent(name="a", model=model, tools=[doubled])
        result = Runner.run_streamed(agent, "Twice 21?", run_config=QUIET)
        kinds = [event.type async for event in result.stream_events()]
    assert result.final_output == "It is 42."
    assert {"raw_response_event", "run_item_stream_event"} <= set(kinds)


async def test_an_answer_in_a_shape(kind: str) -> None:
    async with asked(kind) as model:
        agent = Agent(name="a", model=model, output_type=City)
        result = await Runner.run(agent, "A city of 7?", run_config=QUIET)
    assert result.final_output == City(name="word", people=7)


async def test_one_agent_hands_over_to_another(kind: str) -> None:
    script = replies([Tool(name="transfer_to_poet")], [Text(text="In verse.")])
    async with asked(kind, script) as model:
        poet = Agent(name="poet", model=model)
        result = await Runner.run(Agent(name="a", model=model, handoffs=[poet]), "hi", run_config=QUIET)
    assert (result.last_agent.name, result.final_output) == ("poet", "In verse.")


async def test_an_unknown_model_and_a_cut_answer_are_errors(kind: str) -> None:
    async with asked(kind, model="nothing") as model:
        with pytest.raises((NotFoundError, APIError, RuntimeError), match="nothing"):
            await Runner.run(Agent(name="a", model=model), "hi", run_config=QUIET)
    async with asked(kind, replies([Text(text="half "), Cut()])) as model:
        result = Runner.run_streamed(Agent(name="a", model=model), "hi", run_config=QUIET)
        with pytest.raises(Exception, match="cut"):
            async for _ in result.stream_events():
                pass


async def test_turns_follow_each_other_by_the_id_of_the_last() -> None:
    async with asked("responses") as model:
        agent = Agent(name="a", model=model, tools=[doubled])
        first = await Runner.run(agent, "Twice 4?", run_config=QUIET)
        second = await Runner.run(
            agent, "Twice 5?", run_config=QUIET, previous_response_id=first.last_response_id
        )
    assert (first.final_output, second.final_output) == ("It is 8.", "It is 10.")


async def test_a_session_is_a_conversation_of_ours() -> None:
    with anyio.fail_after(20):
        async with (
            served(Stage(demo=Obliging())) as server,
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        ):
            session = OpenAIConversationsSession(openai_client=client)
            agent = Agent(name="a", model=OpenAIResponsesModel(MODEL, openai_client=client), tools=[doubled])
            for number in (4, 5):
                result = await Runner.run(agent, f"Twice {number}?", session=session, run_config=QUIET)
                assert result.final_output == f"It is {2 * number}."
            items = await session.get_items()
            await session.clear_session()
    assert [item.get("type") for item in items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ] * 2
