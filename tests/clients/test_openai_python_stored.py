"""OpenAI's own Python client and what is kept: responses in the background, conversations, sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
import pytest
from openai import AsyncOpenAI, NotFoundError
from openai.types.responses import FunctionToolParam, Response, ResponsesServerEvent

from callboard.providers.script import Hold, Text
from tests.fakes.company import Stage, replies
from tests.fakes.obliging import Obliging
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

MODEL = "demo-model"
ADD: FunctionToolParam = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@asynccontextmanager
async def asked(stage: Stage | None = None) -> AsyncIterator[tuple[AsyncOpenAI, Served]]:
    """The client of a server with an obliging model."""
    with anyio.fail_after(20):
        async with (
            served(stage or Stage(demo=Obliging())) as server,
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        ):
            yield client, server


async def test_a_response_in_the_background_is_followed_from_where_it_was_left() -> None:
    stage = Stage(demo=replies([Text(text="one two "), Hold(gate="g"), Text(text="three four")]))
    async with asked(stage) as (client, _):
        begun = await client.responses.create(model=MODEL, input="hi", background=True, stream=True)
        seen = []
        async for event in begun:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
        await begun.close()
        created = seen[0]
        assert created.type == "response.created"
        stage.handlers["demo"].gates["g"].opened.set()
        rest = await client.responses.retrieve(
            created.response.id, stream=True, starting_after=seen[-1].sequence_number
        )
        seen += [event async for event in rest]
        whole = await client.responses.retrieve(created.response.id)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"
    assert whole.output_text == "one two three four"
    assert seen[-1].response == whole


async def test_a_response_in_the_background_is_polled_cancelled_and_deleted() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g")]))
    async with asked(stage) as (client, _):
        begun = await client.responses.create(model=MODEL, input="hi", background=True)
        async for event in await client.responses.retrieve(begun.id, stream=True):
            if event.type == "response.output_text.delta":
                break
        running = await client.responses.retrieve(begun.id)
        cancelled = await client.responses.cancel(begun.id)
        again = await client.responses.retrieve(begun.id)
        items = [item async for item in await client.responses.input_items.list(begun.id)]
        await client.responses.delete(begun.id)
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(begun.id)
    assert begun.status in {"queued", "in_progress"}
    assert (running.status, cancelled.status, again.status) == ("in_progress", "cancelled", "cancelled")
    assert [item.type for item in items] == ["message"]


async def test_a_chain_of_responses_with_a_tool_in_it() -> None:
    async with asked() as (client, _):
        first = await client.responses.create(model=MODEL, input="add 4", tools=[ADD])
        [call] = first.output
        assert call.type == "function_call"
        second = await client.responses.create(
            model=MODEL,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "5"}],
            previous_response_id=first.id,
            tools=[ADD],
        )
        counted = await client.responses.input_tokens.count(
            model=MODEL, input="and?", previous_response_id=second.id
        )
    assert call.arguments == '{"a":4}'
    assert second.output_text == "It is 5."
    assert second.previous_response_id == first.id
    assert counted.input_tokens > 0


async def test_a_conversation_holds_what_was_said_in_it() -> None:
    async with asked() as (client, _):
        conversation = await client.conversations.create(
            metadata={"topic": "tea"}, items=[{"type": "message", "role": "assistant", "content": "zero"}]
        )
        for text in ("one", "two"):
            answer = await client.responses.create(model=MODEL, input=text, conversation=conversation.id)
            assert answer.conversation is not None
            assert answer.conversation.id == conversation.id
        listed = await client.conversations.items.list(conversation.id, order="asc")
        items = [item async for item in listed]
        first = await client.conversations.items.retrieve(items[0].id or "", conversation_id=conversation.id)
        await client.conversations.update(conversation.id, metadata={"topic": "coffee"})
        again = await client.conversations.retrieve(conversation.id)
        gone = await client.conversations.delete(conversation.id)
    said = [
        part.text
        for item in items
        if item.type == "message"
        for part in item.content
        if part.type in {"input_text", "output_text"}
    ]
    assert said == ["zero", "one", "echo: one", "two", "echo: two"]
    assert first == items[0]
    assert again.metadata == {"topic": "coffee"}
    assert gone.deleted


async def test_a_compacted_conversation_goes_on() -> None:
    async with asked() as (client, _):
        compacted = await client.responses.compact(model=MODEL, input="We start on Monday.")
        answer = await client.responses.create(
            model=MODEL,
            input=[*(item.to_dict() for item in compacted.output), {"role": "user", "content": "When?"}],  # type: ignore[list-item]  # as its documentation does
        )
    assert compacted.object == "response.compaction"
    assert answer.output_text.endswith("When?")


async def last_of(events: AsyncIterator[ResponsesServerEvent]) -> ResponsesServerEvent:
    """The end of a turn."""
    async for event in events:
        if event.type in {"response.completed", "response.failed", "response.incomplete", "error"}:
            return event
    raise AssertionError("the socket was closed within a turn")


def text_of(events: Iterable[ResponsesServerEvent]) -> list[str]:
    """What the responses of last events say."""
    return [event.response.output_text for event in events if event.type == "response.completed"]


async def test_turns_on_a_socket() -> None:
    async with asked() as (client, _), client.responses.connect() as socket:
        await socket.response.create(model=MODEL, input="one", store=False)
        first = await last_of(aiter(socket))
        assert first.type == "response.completed"
        await socket.response.create(
            model=MODEL, input="two", store=False, previous_response_id=first.response.id
        )
        second = await last_of(aiter(socket))
        await socket.response.create(
            model=MODEL, input="three", store=False, previous_response_id="resp_never"
        )
        lost = await last_of(aiter(socket))
        await socket.response.create(model=MODEL, input="add 3", store=False, tools=[ADD])
        called = await last_of(aiter(socket))
    assert text_of([first, second]) == ["echo: one", "echo: two"]
    assert lost.type == "error"
    assert "previous_response_not_found" in lost.to_json()
    assert called.type == "response.completed"
    assert isinstance(called.response, Response)
    assert [item.type for item in called.response.output] == ["function_call"]
