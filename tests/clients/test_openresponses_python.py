"""The Open Responses SDK for Python, unmodified and strict, against our server: HTTP and WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from openresponses import AsyncOpenResponses
from openresponses.errors import BadRequestError, NotFoundError
from openresponses.streaming import AsyncResponseStream
from openresponses.types.generated import CompactResource, ResponseResource

from callboard.providers.script import Cut, Script, Text, Thinking
from tests.fakes.company import Stage, replies
from tests.fakes.obliging import Obliging
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

MODEL = "demo-model"
ADD = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@asynccontextmanager
async def asked(script: Script | None = None) -> AsyncIterator[AsyncOpenResponses]:
    """The client of a server of ours. It is strict unless it is told otherwise."""
    with anyio.fail_after(20):
        async with (
            served(Stage(demo=script or Obliging())) as server,
            AsyncOpenResponses(base_url=f"{server.url}/v1", api_key="unused") as client,
        ):
            yield client


def texts(response: object) -> list[str]:
    """What the messages of a response say."""
    assert isinstance(response, ResponseResource)
    found = [item.root.model_dump(mode="json") for item in response.output]
    return [part["text"] for item in found for part in item.get("content") or ()]


async def test_an_answer_and_a_chain() -> None:
    async with asked() as client:
        first = await client.responses.create({"model": MODEL, "input": "add 3", "tools": [ADD]})
        assert isinstance(first, ResponseResource)
        [call] = [item.root.model_dump(mode="json") for item in first.output]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "4"}
        second = await client.responses.create(
            {"model": MODEL, "input": [output], "previous_response_id": first.id, "tools": [ADD]}
        )
    assert (call["type"], call["arguments"]) == ("function_call", '{"a":3}')
    assert texts(second) == ["It is 4."]


async def test_a_stream_with_a_thought_in_it() -> None:
    async with asked(replies([Thinking(thinking="hm hm"), Text(text="It is so.")])) as client:
        created = await client.responses.create({"model": MODEL, "input": "hi", "stream": True})
        assert isinstance(created, AsyncResponseStream)
        async with created as stream:
            kinds = [event.type async for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_summary_text.delta" in kinds
    assert texts(stream.final_response) == ["It is so."]


async def test_a_stream_that_breaks_off() -> None:
    async with asked(replies([Text(text="half "), Cut()])) as client:
        created = await client.responses.create({"model": MODEL, "input": "hi", "stream": True})
        assert isinstance(created, AsyncResponseStream)
        async with created as stream:
            kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.failed"


async def test_errors_are_the_clients_own_classes() -> None:
    async with asked() as client:
        with pytest.raises(NotFoundError, match="nothing"):
            await client.responses.create({"model": "nothing", "input": "hi"})
        with pytest.raises(BadRequestError):
            await client.responses.create({"model": MODEL, "input": []})


async def test_a_compacted_conversation_goes_on_over_a_socket() -> None:
    async with asked() as client, client.websocket() as socket:
        compacted = await client.responses.compact({"model": MODEL, "input": "We start on Monday."})
        assert isinstance(compacted, CompactResource)
        [item] = [each.root.model_dump(mode="json", exclude_none=True) for each in compacted.output]
        turn = await socket.create({"model": MODEL, "input": [item], "store": False})
        kinds = [event.type async for event in turn]
        after = await socket.create(
            {"model": MODEL, "input": "When?", "store": False, "previous_response_id": turn.response_id}
        )
        async for _ in after:
            pass
        lost = await socket.create(
            {"model": MODEL, "input": "When?", "store": False, "previous_response_id": "resp_never"}
        )
        assert [event async for event in lost] == []
    assert kinds[-1] == "response.completed"
    assert texts(after.final_response) == ["echo: When?"]
    assert lost.error is not None
    assert lost.error.error.code == "previous_response_not_found"
