"""Clients of both dialects, in front of an upstream that is spoken to in the Responses dialect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import callboard
from callboard.domain.block import Base64Source, ImageBlock, TextBlock, ThinkingBlock
from callboard.domain.message import text_of, tool_results, tool_uses
from callboard.providers.script import Cut, Fail, Script, Text, Thinking, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import answers, function_call, message, reasoning
from tests.fakes.served import Served, served
from tests.fakes.upstream import Exchange, FakeUpstream, serve_upstream
from tests.oracles.responses_lifecycle import Data, events_in, violations

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
PNG = "data:image/png;base64,aGk="
SCHEMA: Json = {"type": "object", "properties": {"x": {"type": "integer"}}}
SHELL: Json = {"name": "shell", "description": "Runs", "parameters": SCHEMA}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def config(base_url: str, *, reasons: bool = False) -> dict[str, object]:
    return {
        "providers": {"behind": {"kind": "openai", "api": "responses", "base_url": base_url}},
        "models": {
            "front-model": {"provider": "behind", "upstream_name": "demo-model", "reasoning": reasons}
        },
        "assistants": {"default": {"model": "front-model"}},
    }


@asynccontextmanager
async def fronted(stage: Stage) -> AsyncIterator[Served]:
    """Callboard in front of Callboard, whose model is scripted."""
    with anyio.fail_after(10):
        async with (
            served(stage) as behind,
            served(Stage(unused=Script()), config=config(f"{behind.url}/v1")) as front,
        ):
            yield front


@asynccontextmanager
async def before_upstream(**more: Any) -> AsyncIterator[tuple[Served, FakeUpstream]]:
    """Callboard in front of a programmable upstream, for a reasoning model."""
    with anyio.fail_after(10):
        async with serve_upstream() as upstream:
            chosen = config(upstream.base_url, reasons=True)
            async with served(Stage(unused=Script()), config=chosen, **more) as front:
                yield front, upstream


def chat_body(**more: object) -> Json:
    return {"model": "front-model", "messages": [{"role": "user", "content": "hi"}], **more}


def responses_body(given: object = "hi", **more: object) -> Json:
    return {"model": "front-model", "input": given, **more}


def chunks_of(stream: str) -> list[Any]:
    return [json.loads(line[6:]) for line in stream.split("\n") if line.startswith("data: {")]


def items_of(exchange: Exchange) -> list[Any]:
    items = exchange.json()["input"]
    assert isinstance(items, list)
    return items


def data_of(stream: str) -> list[Data]:
    events = events_in(stream.encode())
    assert violations(events) == []
    return [event.data for event in events if event.data is not None]


async def test_a_chat_client_streams_thinking_text_and_usage() -> None:
    stage = Stage(demo=replies([Thinking(thinking="let me see"), Text(text="It is Paris.")]))
    async with fronted(stage) as front:
        body = chat_body(stream=True, stream_options={"include_usage": True})
        answer = await front.client.post(CHAT, json=body)
    chunks = chunks_of(answer.text)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["It ", "is ", "Paris."]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "let me see"
    assert [each["finish_reason"] for chunk in chunks for each in chunk["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_chat_clients_images_and_instructions_arrive() -> None:
    stage = Stage(demo=Script())
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    async with fronted(stage) as front:
        answer = await front.client.post(CHAT, json=chat_body(messages=messages))
    assert answer.json()["choices"][0]["message"]["content"] == "echo: see"
    asked = stage.handlers["demo"].calls[0].request
    assert asked.system == (TextBlock(text="Be brief."),)
    picture = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
    assert asked.messages[0].content == (TextBlock(text="see"), picture)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_clients_tools_are_called_and_answered(stream: bool) -> None:
    stage = Stage(
        demo=replies(
            [Text(text="Let me see."), *(Tool(name="shell", id=f"c{x}", arguments={"x": x}) for x in (1, 2))],
            [Text(text="done")],
        )
    )
    async with fronted(stage) as front:
        tools = [{"type": "function", "function": SHELL}]
        first = await front.client.post(CHAT, json=chat_body(tools=tools, stream=stream))
        calls = [
            {"id": f"c{x}", "type": "function", "function": {"name": "shell", "arguments": f'{{"x":{x}}}'}}
            for x in (1, 2)
        ]
        if stream:
            pieces = [call for chunk in chunks_of(first.text) for call in called(chunk)]
            assert [piece["id"] for piece in pieces if "id" in piece] == ["c1", "c2"]
            written = ["".join(arguments(pieces, index)) for index in (0, 1)]
            assert written == ['{"x":1}', '{"x":2}']
        else:
            choice = first.json()["choices"][0]
            assert (choice["finish_reason"], choice["message"]["tool_calls"]) == ("tool_calls", calls)
        said = {"role": "assistant", "content": "Let me see.", "tool_calls": calls}
        results = [{"role": "tool", "tool_call_id": f"c{x}", "content": f"listing {x}"} for x in (1, 2)]
        messages = [{"role": "user", "content": "hi"}, said, *results]
        second = await front.client.post(CHAT, json=chat_body(tools=tools, messages=messages))
    assert second.json()["choices"][0]["message"]["content"] == "done"
    before, after = (each.request for each in stage.handlers["demo"].calls)
    (tool,) = before.tools
    assert (tool.name, json.loads(bytes(tool.input_schema)), tool.strict) == ("shell", SCHEMA, False)
    assert [each.id for each in tool_uses(after.messages[1])] == ["c1", "c2"]
    assert [text_of(each.content) for each in tool_results(after.messages[2])] == ["listing 1", "listing 2"]


def called(chunk: Any) -> list[Any]:
    return [call for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]


def arguments(pieces: list[Any], index: int) -> list[str]:
    return [piece["function"].get("arguments", "") for piece in pieces if piece["index"] == index]


async def test_a_responses_client_gets_every_item_through_two_servers() -> None:
    steps = (
        Thinking(thinking="hm"),
        Text(text="It is Paris."),
        Tool(name="shell", id="c1", arguments={"x": 1}),
    )
    stage = Stage(demo=Script(replies=replies(steps).replies, then="repeat"))
    tools = [{"type": "function", **SHELL}]
    async with fronted(stage) as front:
        whole = await front.client.post(RESPONSES, json=responses_body(tools=tools))
        streamed = await front.client.post(RESPONSES, json=responses_body(tools=tools, stream=True))
    data = data_of(streamed.text)
    for answer in (whole.json(), data[-1]["response"]):
        thought, said, call = answer["output"]
        assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
        assert said["content"][0]["text"] == "It is Paris."
        assert (call["call_id"], call["name"], call["arguments"]) == ("c1", "shell", '{"x":1}')
        assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
        assert answer["usage"]["output_tokens"] == 4
    deltas = [each["delta"] for each in data if each["type"] == "response.output_text.delta"]
    assert deltas == ["It ", "is ", "Paris."]


async def test_a_responses_client_sends_reasoning_back_and_it_arrives_as_it_was_given() -> None:
    thought = reasoning("why", "how", item_id="rs_up", encrypted="gAAAA-secret")
    redacted = reasoning(item_id="rs_up_2", encrypted="gAAAA-more")
    call = function_call("shell", '{"x": 1}', "c1")
    tools = [{"type": "function", **SHELL}]
    async with before_upstream() as (front, upstream):
        upstream.queue(answers(thought, redacted, call)[0], answers(message("done"))[0])
        first = await front.client.post(RESPONSES, json=responses_body(tools=tools, stream=True))
        shown = data_of(first.text)[-1]["response"]["output"]
        assert [item["id"] for item in shown[:2]] == ["rs_up", "rs_up_2"]
        result = {"type": "function_call_output", "call_id": "c1", "output": "listing"}
        given = [{"role": "user", "content": "hi"}, *shown, result]
        second = await front.client.post(RESPONSES, json=responses_body(given, tools=tools))
        assert second.json()["output"][0]["content"][0]["text"] == "done"
        asked = (await upstream.exchange(0)).json()
        again = (await upstream.exchange(1)).json()
    assert (asked["include"], asked["store"]) == (["reasoning.encrypted_content"], False)
    joined = [{"type": "summary_text", "text": "why\n\nhow"}]
    assert again["input"] == [
        {"type": "message", "role": "user", "content": "hi"},
        {**thought, "summary": joined},
        redacted,
        {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"x": 1}'},
        result,
    ]


async def test_what_only_the_upstream_knows_reaches_it_from_what_is_kept_too() -> None:
    search: Json = {"type": "web_search"}
    found: Json = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    async with before_upstream() as (front, upstream):
        upstream.queue(answers(message("one"))[0], answers(message("two"))[0])
        given = [{"role": "user", "content": "hi"}, found]
        asked = responses_body(given, tools=[search], tool_choice=search)
        first = (await front.client.post(RESPONSES, json=asked)).json()
        await front.client.post(RESPONSES, json=responses_body(previous_response_id=first["id"]))
        once: Any = (await upstream.exchange(0)).json()
        again: Any = (await upstream.exchange(1)).json()
    assert (once["tools"], once["tool_choice"]) == ([search], search)
    assert once["input"][1] == again["input"][1] == found


async def test_thoughts_of_one_name_do_not_keep_a_turn_out_of_its_conversation() -> None:
    thought = reasoning(item_id="rs_up", encrypted="gAAAA-secret")
    async with before_upstream() as (front, upstream):
        for _ in range(2):
            upstream.queue(answers(thought, message("one"))[0])
        begun = (await front.client.post("/v1/conversations", json={})).json()["id"]
        for _ in range(2):
            asked = responses_body(conversation=begun)
            assert (await front.client.post(RESPONSES, json=asked)).status_code == 200
        page = (await front.client.get(f"/v1/conversations/{begun}/items?order=asc")).json()["data"]
        sent = items_of(await upstream.exchange(1))
    thoughts = [item for item in page if item["type"] == "reasoning"]
    assert len(page) == 6
    assert thoughts[0]["id"] == "rs_up"
    assert thoughts[1]["id"].startswith("rs_")
    assert thoughts[1]["id"] != "rs_up"
    assert [item["id"] for item in sent if item["type"] == "reasoning"] == ["rs_up"]


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_reasoning_goes_along_from_round_to_round_of_our_own_tools(path: str) -> None:
    thought = reasoning(item_id="rs_up", encrypted="gAAAA-secret")
    async with before_upstream(tools=[add]) as (front, upstream):
        upstream.queue(
            answers(thought, function_call("add", '{"a": 1, "b": 2}', "c1"))[0],
            answers(message("It is 3."))[0],
        )
        body = chat_body() if path == CHAT else responses_body()
        answer = await front.client.post(path, json=body)
        assert "It is 3." in answer.text
        _, kept, call, result = items_of(await upstream.exchange(1))
    assert (kept, call["type"]) == (thought, "function_call")
    assert (result["call_id"], result["output"]) == ("c1", "3.0")


async def test_an_assistant_goes_on_with_the_reasoning_of_the_turn_before() -> None:
    thought = reasoning("why", item_id="rs_up", encrypted="gAAAA-secret")
    async with before_upstream() as (front, upstream):
        upstream.queue(answers(thought, message("one"))[0], answers(message("two"))[0])
        first = await front.runtime.ask("default", "first?")
        assert isinstance(first.content[0], ThinkingBlock)
        second = await front.runtime.ask("default", "second?", previous_response_id=first.response_id)
        assert second.text == "two"
        told = items_of(await upstream.exchange(1))
    assert told[1:3] == [thought, {"type": "message", "role": "assistant", "content": "one"}]


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_cut_behind_is_no_complete_answer_in_front(path: str) -> None:
    stage = Stage(demo=replies([Text(text="It is"), Cut()]))
    body = chat_body(stream=True) if path == CHAT else responses_body(stream=True)
    async with fronted(stage) as front:
        answer = await front.client.post(path, json=body)
    assert "It " in answer.text
    assert '"finish_reason":"stop"' not in answer.text
    assert "response.completed" not in answer.text
    assert '"error":{' in answer.text


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_refusal_behind_is_the_same_refusal_in_front(path: str) -> None:
    stage = Stage(demo=replies([Fail(error="upstream_invalid_request", message="bad picture", status=400)]))
    async with fronted(stage) as front:
        answer = await front.client.post(path, json=chat_body() if path == CHAT else responses_body())
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "bad picture"


async def test_stop_sequences_are_refused_and_cost_nothing() -> None:
    async with before_upstream() as (front, upstream):
        answer = await front.client.post(CHAT, json=chat_body(stop="END"))
        assert upstream.exchanges == []
    assert answer.status_code == 400
    assert "stop sequences" in answer.json()["error"]["message"]
