"""OpenAI's own Python client, unmodified, against our Responses routes."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

from callboard.providers.script import Cut, Fail, Script, Text, Thinking, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

SHELL: FunctionToolParam = {
    "type": "function",
    "name": "shell",
    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    "strict": False,
}


class City(BaseModel):
    """An answer in a shape."""

    name: str


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


def client(server: Served) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


async def test_create() -> None:
    async with served(Stage(demo=replies([Text(text="Paris.")]))) as server, client(server) as openai:
        answer = await openai.responses.create(model="demo-model", input="What is the capital of France?")
    assert (answer.status, answer.output_text) == ("completed", "Paris.")
    assert answer.usage is not None
    assert (answer.usage.output_tokens, answer.usage.total_tokens) == (1, 7)


async def test_create_streamed() -> None:
    async with served(Stage(demo=replies([Text(text="It is Paris.")]))) as server, client(server) as openai:
        stream = await openai.responses.create(model="demo-model", input="hi", stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["It ", "is ", "Paris."]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "It is Paris."


async def test_the_stream_helper_assembles_everything() -> None:
    stage = Stage(
        demo=replies(
            [
                Thinking(thinking="let me think"),
                Text(text="Let me see."),
                Tool(name="shell", id="c1", arguments={"x": 1}),
                Tool(name="shell", id="c2", arguments={"x": 2}),
            ]
        )
    )
    async with (
        served(stage) as server,
        client(server) as openai,
        openai.responses.stream(model="demo-model", input="hi", tools=[SHELL]) as stream,
    ):
        kinds = {event.type async for event in stream}
        final = await stream.get_final_response()
    assert {"response.output_text.done", "response.function_call_arguments.done"} <= kinds
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert final.output_text == "Let me see."
    calls = [(item.call_id, item.arguments) for item in final.output if item.type == "function_call"]
    assert calls == [("c1", '{"x":1}'), ("c2", '{"x":2}')]


async def test_a_conversation_goes_on_with_the_items_of_the_last_answer() -> None:
    stage = Stage(demo=replies([Tool(name="shell", id="c1", arguments={"x": 1})], [Text(text="done")]))
    given: ResponseInputParam = [{"role": "user", "content": "hi"}]
    async with served(stage) as server, client(server) as openai:
        first = await openai.responses.create(model="demo-model", input=given, tools=[SHELL])
        given += [item.to_dict() for item in first.output]  # type: ignore[misc]  # as its documentation does
        given.append({"type": "function_call_output", "call_id": "c1", "output": "42"})
        second = await openai.responses.create(model="demo-model", input=given, tools=[SHELL])
    assert second.output_text == "done"


async def test_an_answer_in_a_shape_is_parsed() -> None:
    async with (
        served(Stage(demo=replies([Text(text='{"name": "Oslo"}')]))) as server,
        client(server) as openai,
    ):
        answer = await openai.responses.parse(model="demo-model", input="hi", text_format=City)
    assert answer.output_parsed == City(name="Oslo")


async def test_a_stream_that_breaks_off_is_a_failed_response() -> None:
    async with served(Stage(demo=replies([Text(text="half"), Cut()]))) as server, client(server) as openai:
        stream = await openai.responses.create(model="demo-model", input="hi", stream=True)
        events = [event async for event in stream]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"


async def test_errors_are_the_clients_own_classes() -> None:
    stage = Stage(demo=replies([Fail(error="upstream_rate_limited", status=429, retry_after_s=100)]))
    async with served(stage) as server, client(server) as openai:
        with pytest.raises(RateLimitError):
            await openai.responses.create(model="demo-model", input="hi")
        with pytest.raises(NotFoundError) as missing:
            await openai.responses.create(model="nothing", input="hi")
        with pytest.raises(NotFoundError) as unknown:
            await openai.responses.create(model="demo-model", input="hi", previous_response_id="resp_1")
        with pytest.raises(BadRequestError) as refused:
            await openai.responses.create(model="demo-model", input="hi", background=True, store=False)
    codes = [raised.value.code for raised in (missing, unknown, refused)]
    assert codes == ["model_not_found", "previous_response_not_found", "unsupported_value"]


async def test_an_unused_script_is_echoed() -> None:
    async with served(Stage(demo=Script())) as server, client(server) as openai:
        answer = await openai.responses.create(
            model="demo-model", input=[{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
        )
    assert answer.output_text == "echo: hi"
