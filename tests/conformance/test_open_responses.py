"""The seventeen cases of the Open Responses compliance suite, each by its name, and held to more than there.

The suite looks at whether a body has the right form and comes to the right end. Here every body and every
event is held against the published description and against OpenAI's types, every stream against the rules of
its lifecycle, and what the model was sent against what the client said. Both carriers answer alike.

Source: Open Responses compliance suite, specification 2026-04-24.
"""

from __future__ import annotations

import json

import pytest

from callboard.domain.block import Base64Source, ImageBlock, TextBlock
from callboard.providers.script import Script
from tests.conformance.held import MODEL, Held, asked, hold, said, socket_to
from tests.fakes.company import Stage
from tests.fakes.responses_traffic import answers, message
from tests.fakes.served import Carrier, served
from tests.fakes.upstream import serve_upstream
from tests.oracles.responses_lifecycle import Data

pytestmark = pytest.mark.anyio
NOT_FOUND = (400, "previous_response_not_found")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "What it is like outside",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(params=["own", "uvicorn"])
def carrier(request: pytest.FixtureRequest) -> Carrier:
    chosen: Carrier = request.param
    return chosen


def user(text: str) -> Data:
    return {"type": "message", "role": "user", "content": text}


def assistant(text: str, **more: object) -> Data:
    return {"type": "message", "role": "assistant", "content": text, **more}


def texts(held: Held, call: int = -1) -> list[tuple[str, str]]:
    """What the model was sent, where that is one text a message."""
    found = []
    for role, content in held.sent(call):
        assert isinstance(content, tuple)
        found.append((role, "|".join(block.text for block in content)))
    return found


async def test_basic_response(carrier: Carrier) -> None:
    async with asked(carrier) as held:
        response = await held.create([user("Greet me.")])
        again = await held.server.client.get(f"/v1/responses/{response['id']}")
    assert (response["status"], said(response)) == ("completed", "echo: Greet me.")
    assert response["completed_at"] >= response["created_at"]
    assert response["usage"]["total_tokens"] == 2 + 3
    assert again.json() == response


async def test_assistant_phase(carrier: Carrier) -> None:
    commentary, answer = (
        assistant("Let me see.", phase="commentary"),
        assistant("Four.", phase="final_answer"),
    )
    given = [commentary, answer, user("And?")]
    async with asked(carrier) as held:
        response = await held.create(given)
        items = await held.server.client.get(f"/v1/responses/{response['id']}/input_items?order=asc")
    assert said(response) == "echo: And?"
    assert [item.get("phase") for item in items.json()["data"]] == ["commentary", "final_answer", None]


async def test_response_output_phase_schema(carrier: Carrier) -> None:
    output = (
        {**message("Looking.", 0), "phase": "commentary"},
        {**message("Four.", 1), "phase": "final_answer"},
    )
    async with serve_upstream() as upstream:
        config = {
            "providers": {"up": {"kind": "openai", "api": "responses", "base_url": upstream.base_url}},
            "models": {MODEL: {"provider": "up"}},
            "assistants": {},
        }
        stage = Stage(unused=Script())
        async with served(stage, config=config, carrier=carrier) as server:
            held = Held(server=server, stage=stage)
            streamed, whole = answers(*output)
            upstream.queue(whole)
            response = await held.create("2 + 2?")
            upstream.queue(streamed)
            events = await held.stream([*response["output"], user("Again?")])
        sent = upstream.exchanges[-1].json()["input"]
    assert [item["phase"] for item in response["output"]] == ["commentary", "final_answer"]
    assert [item["phase"] for item in events[-1]["response"]["output"]] == ["commentary", "final_answer"]
    assert isinstance(sent, list)
    assert [item.get("phase") for item in sent] == ["commentary", "final_answer", None]


async def test_streaming_response(carrier: Carrier) -> None:
    async with asked(carrier) as held:
        events = await held.stream([user("One, two, three.")])
        again = await held.server.client.get(f"/v1/responses/{events[-1]['response']['id']}?stream=true")
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == ["echo: ", "One, ", "two, ", "three."]
    assert said(events[-1]["response"]) == "echo: One, two, three."
    retold = [json.loads(line[6:]) for line in again.text.split("\n") if line.startswith("data: {")]
    assert retold == events


async def test_websocket_response(carrier: Carrier) -> None:
    async with asked(carrier) as held, socket_to(held) as socket:
        events = await socket.turn([user("One, two.")])
        response = events[-1]["response"]
        stored = await held.server.client.get(f"/v1/responses/{response['id']}")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert said(response) == "echo: One, two."
    assert stored.json() == response


async def test_websocket_sequential_responses(carrier: Carrier) -> None:
    async with asked(carrier) as held, socket_to(held) as socket:
        turns = [await socket.response(f"number {at}") for at in range(3)]
    assert [said(turn) for turn in turns] == [f"echo: number {at}" for at in range(3)]
    assert len({turn["id"] for turn in turns}) == 3
    assert texts(held) == [("user", "number 2")]


async def test_websocket_continuation(carrier: Carrier) -> None:
    async with asked(carrier) as held, socket_to(held) as socket:
        first = await socket.response("The word is teal.")
        second = await socket.response("Which?", previous_response_id=first["id"])
        third = await socket.response("Sure?", previous_response_id=second["id"])
    assert third["previous_response_id"] == second["id"]
    assert texts(held) == [
        ("user", "The word is teal."),
        ("assistant", "echo: The word is teal."),
        ("user", "Which?"),
        ("assistant", "echo: Which?"),
        ("user", "Sure?"),
    ]


async def test_websocket_reconnect_store_false_recovery(carrier: Carrier) -> None:
    async with asked(carrier) as held:
        async with socket_to(held) as socket:
            first = await socket.response("The word is rust.")
        async with socket_to(held) as socket:
            lost = await socket.code("Which?", previous_response_id=first["id"])
            recovered = await socket.response([user("The word is rust."), user("Which?")])
    assert lost == NOT_FOUND
    assert recovered["previous_response_id"] is None
    assert texts(held) == [("user", "The word is rust.|Which?")]


async def test_websocket_previous_response_not_found(carrier: Carrier) -> None:
    async with asked(carrier) as held, socket_to(held) as socket:
        [error] = await socket.turn("Hello?", store=False, previous_response_id="resp_that_never_was")
        goes_on = await socket.response("Hello!")
    assert (error["status"], error["error"]["code"]) == NOT_FOUND
    assert error["error"]["param"] == "previous_response_id"
    assert "resp_that_never_was" in error["error"]["message"]
    assert said(goes_on) == "echo: Hello!"


async def test_websocket_failed_continuation_evicts_cache(carrier: Carrier) -> None:
    stray = {"type": "function_call_output", "call_id": "call_stray", "output": "?"}
    async with asked(carrier) as held, socket_to(held) as socket:
        first = await socket.response("The word is ash.")
        status, _ = await socket.code([stray], previous_response_id=first["id"])
        evicted = await socket.code("Which?", previous_response_id=first["id"])
        recovered = await socket.response("Anew.")
    assert 400 <= status < 500
    assert evicted == NOT_FOUND
    assert texts(held) == [("user", "Anew.")]
    assert said(recovered) == "echo: Anew."


async def test_websocket_compact_new_chain(carrier: Carrier) -> None:
    async with asked(carrier) as held, socket_to(held) as socket:
        compacted = await held.compact([user("We start on Monday."), assistant("Noted.")])
        first = await socket.response([*compacted["output"], user("When?")])
        second = await socket.response("Sure?", previous_response_id=first["id"])
    assert first["previous_response_id"] is None
    (_, opening), *others = texts(held)
    assert opening.startswith("Summary of the conversation so far:")
    assert opening.endswith("|When?")
    assert others == [("assistant", said(first)), ("user", "Sure?")]
    assert said(second) == "echo: Sure?"


async def test_system_prompt(carrier: Carrier) -> None:
    system = {"type": "message", "role": "system", "content": "Speak like a sailor."}
    async with asked(carrier) as held:
        response = await held.create([system, user("Hello.")], instructions="Be brief.")
    asked_for = held.stage.handlers["demo"].calls[0].request
    assert [block.text for block in asked_for.system] == ["Be brief.", "Speak like a sailor."]
    assert texts(held) == [("user", "Hello.")]
    assert response["instructions"] == "Be brief."


async def test_tool_calling(carrier: Carrier) -> None:
    async with asked(carrier) as held:
        response = await held.create([user("Is it raining?")], tools=[WEATHER])
        [call] = response["output"]
        events = await held.stream([user("Is it raining?")], tools=[WEATHER])
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        answer = await held.create([result], tools=[WEATHER], previous_response_id=response["id"])
    assert (call["type"], call["name"], call["status"]) == ("function_call", "get_weather", "completed")
    assert json.loads(call["arguments"]) == {"place": "word"}
    assert response["tools"] == [{**WEATHER, "strict": None}]
    [done] = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert done["arguments"] == call["arguments"]
    assert said(answer) == "It is rain."


async def test_image_input(carrier: Carrier) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    content = [{"type": "input_text", "text": "What is it?"}, picture]
    async with asked(carrier) as held:
        response = await held.create([{"type": "message", "role": "user", "content": content}])
    image = ImageBlock(source=Base64Source(media_type="image/png", data=PNG))
    assert held.sent() == [("user", (TextBlock(text="What is it?"), image))]
    assert said(response) == "echo: What is it?"


async def test_multi_turn(carrier: Carrier) -> None:
    given = [user("I am Ada."), assistant("Hello, Ada."), user("Who am I?")]
    async with asked(carrier) as held:
        response = await held.create(given)
        again = await held.create([*given, *response["output"], user("Sure?")])
    assert texts(held, 0) == [("user", "I am Ada."), ("assistant", "Hello, Ada."), ("user", "Who am I?")]
    assert texts(held) == [*texts(held, 0), ("assistant", "echo: Who am I?"), ("user", "Sure?")]
    assert said(again) == "echo: Sure?"


async def test_compact_response(carrier: Carrier) -> None:
    given = [user("We start on Monday."), assistant("Noted.")]
    async with asked(carrier) as held:
        compacted = await held.compact(given, prompt_cache_key="mine", instructions="Be brief.")
        [item] = compacted["output"]
        response = await held.create([item, user("When?")])
    assert (compacted["object"], item["type"]) == ("response.compaction", "compaction")
    assert compacted["usage"]["input_tokens"] > 0
    assert "Summary" in texts(held)[0][1]
    hold(response)


async def test_compact_missing_model(carrier: Carrier) -> None:
    async with asked(carrier) as held:
        status, error = await held.refused("/v1/responses/compact", input=[user("Make it short.")])
    assert status == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", "model")
    assert not held.stage.handlers["demo"].calls
