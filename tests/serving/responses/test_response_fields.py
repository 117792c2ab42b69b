"""What a request for a response asks beside its input, through the real server, up to the upstream."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import callboard
from callboard.domain.message import tool_results
from callboard.domain.usage import Usage
from callboard.providers.script import AnyStep, Reply, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.openai_traffic import Answer, Part, chat, chunk, sse
from tests.fakes.relayed import relayed
from tests.fakes.served import served
from tests.oracles.responses_lifecycle import events_in
from tests.wire.openai_responses.official import check_event, check_response

pytestmark = pytest.mark.anyio

RESPONSES = "/v1/responses"
TOKENS = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def body(given: object = "hi", **more: object) -> dict[str, object]:
    return {"model": "demo-model", "input": given, **more}


def called(*names: str) -> list[AnyStep]:
    return [Tool(name="add", id=name, arguments={"a": 1, "b": 2}) for name in names]


@pytest.mark.parametrize("background", [False, True])
async def test_no_more_of_our_tools_are_called_than_the_client_allows(background: bool) -> None:
    stage = Stage(demo=replies(called("c1"), called("c2", "c3"), [Text(text="done")]))
    with anyio.fail_after(10):
        async with served(stage, tools=[add]) as server:
            asked = body(max_tool_calls=2, background=background)
            answer = (await server.client.post(RESPONSES, json=asked)).json()
            await server.client.get(f"{RESPONSES}/{answer['id']}?stream=true")
            answer = (await server.client.get(f"{RESPONSES}/{answer['id']}")).json()
    check_response(answer)
    assert answer["max_tool_calls"] == 2
    assert answer["output"][-1]["content"][0]["text"] == "done"
    last = stage.handlers["demo"].calls[-1].request
    refused = [result.is_error for message in last.messages for result in tool_results(message)]
    assert refused == [False, False, True]
    assert last.tool_choice is not None
    assert last.tool_choice.mode == "none"


@pytest.mark.parametrize("how", ["whole", "streamed", "in the background"])
async def test_what_was_asked_is_repeated_and_the_usage_is_that_of_all_rounds(how: str) -> None:
    first = Usage(input_tokens=10, output_tokens=3, cache_read_tokens=4, reasoning_tokens=2)
    second = Usage(input_tokens=20, output_tokens=5, cache_read_tokens=6, reasoning_tokens=1)
    script = Script(
        replies=(
            Reply(steps=tuple(called("c1")), usage=first),
            Reply(steps=(Text(text="It is 3."),), usage=second),
        )
    )
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}]
    asked = body(instructions="Be brief.", tools=tools, temperature=0.25)
    more = {"whole": {}, "streamed": {"stream": True}, "in the background": {"background": True}}[how]
    with anyio.fail_after(10):
        async with served(Stage(demo=script), tools=[add]) as server:
            answer = await server.client.post(RESPONSES, json={**asked, **more})
            if how == "in the background":
                answer = await server.client.get(f"{RESPONSES}/{answer.json()['id']}?stream=true")
            data = [event.data for event in events_in(answer.content)] if how != "whole" else []
            told = [each["response"] for each in data if each is not None and "response" in each]
            told = told or [answer.json()]
            told.append((await server.client.get(f"{RESPONSES}/{told[-1]['id']}")).json())
    for response in told:
        assert response["model"] == "demo-model"
        assert (response["instructions"], response["temperature"]) == ("Be brief.", 0.25)
        assert [(tool["type"], tool["name"]) for tool in response["tools"]] == [("function", "look")]
    for response in told[-2:]:
        assert response["usage"] == {
            "input_tokens": 40,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 48,
        }


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_are_asked_for_and_shown(stream: bool) -> None:
    asked = body(include=["message.output_text.logprobs"], top_logprobs=1, stream=stream)
    async with relayed() as over:
        piece: Any = chunk({"role": "assistant", "content": "Hi"})
        piece["choices"][0]["logprobs"] = {"content": TOKENS, "refusal": None}
        pieces = (sse(piece), sse(chunk({}, finish_reason="stop")), b"data: [DONE]\n\n")
        over.upstream.queue(
            Answer(headers=(("content-type", "text/event-stream"),), parts=tuple(map(Part, pieces)))
        )
        answer = await over.server.client.post(RESPONSES, json=asked)
        sent = (await over.upstream.exchange(0)).json()
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 1)
    shown: Any = answer.json() if not stream else None
    if stream:
        data = [event.data for event in events_in(answer.content) if event.data is not None]
        for each in data:
            check_event(each)
        deltas = [each["logprobs"] for each in data if each["type"] == "response.output_text.delta"]
        assert deltas == [TOKENS]
        shown = data[-1]["response"]
    assert shown["output"][0]["content"][0]["logprobs"] == TOKENS


async def test_what_is_said_of_the_service_reaches_an_upstream_of_chat() -> None:
    fields = {"service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s"}
    async with relayed() as over:
        over.upstream.queue(chat("Hello you"))
        asked = body(text={"verbosity": "low"}, **fields)
        await over.server.client.post(RESPONSES, json=asked)
        sent = (await over.upstream.exchange(0)).json()
    assert {name: sent[name] for name in fields} == fields
    assert sent["verbosity"] == "low"


async def test_what_nobody_here_knows_is_listed_and_no_upstream_of_chat_is_told_of_it() -> None:
    unknown: dict[str, Any] = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search"},
    }
    given = [{"role": "user", "content": "hi"}, unknown, {"role": "user", "content": "so?"}]
    async with relayed() as over:
        over.upstream.queue(chat("Hello you"))
        tools = [{"type": "web_search"}]
        answer = (await over.server.client.post(RESPONSES, json=body(given, tools=tools))).json()
        path = f"{RESPONSES}/{answer['id']}/input_items?order=asc"
        listed = (await over.server.client.get(path)).json()["data"]
        sent: Any = (await over.upstream.exchange(0)).json()
    assert answer["tools"] == tools
    assert listed[1] == {**unknown, "id": listed[1]["id"]}
    assert [item["type"] for item in listed] == ["message", "web_search_call", "message"]
    assert [message["content"] for message in sent["messages"]] == ["hi", "so?"]
    assert "tools" not in sent


async def test_instructions_among_the_input_are_listed_and_stay_in_force() -> None:
    stage = Stage(demo=replies([Text(text="one")], [Text(text="two")]))
    given = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    async with served(stage) as server:
        asked = body(given, instructions="Be kind.")
        first = (await server.client.post(RESPONSES, json=asked)).json()
        path = f"{RESPONSES}/{first['id']}/input_items?order=asc"
        listed = (await server.client.get(path)).json()["data"]
        await server.client.post(RESPONSES, json=body(previous_response_id=first["id"]))
    assert [(item["role"], item["content"][0]["text"]) for item in listed] == [
        ("developer", "Be brief."),
        ("user", "hi"),
    ]
    calls = [call.request for call in stage.handlers["demo"].calls]
    assert [[block.text for block in call.system] for call in calls] == [
        ["Be kind.", "Be brief."],
        ["Be brief."],
    ]
