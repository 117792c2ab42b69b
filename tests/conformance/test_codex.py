"""What a coding agent like the Codex CLI asks for, and how: a WebSocket first, then server-sent events.

It keeps its history itself, stores nothing, wants reasoning encrypted, and sends whatever its favourite
server knows besides: all that is not known here is tolerated, and goes to an upstream that may know it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from callboard.providers.script import Script
from tests.conformance.held import MODEL
from tests.fakes.company import Stage
from tests.fakes.obliging import Obliging
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import answers, events_of, function_call, message, reasoning, stream_of
from tests.fakes.served import Served, served
from tests.fakes.socket_client import connected, handshake, text_in
from tests.fakes.socket_client import stream_of as events_told
from tests.fakes.upstream import FakeUpstream, serve_upstream
from tests.oracles.responses_lifecycle import Data, events_in, violations

pytestmark = pytest.mark.anyio

SHELL: Json = {
    "type": "function",
    "name": "shell",
    "description": "Runs a command",
    "strict": False,
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
}
STRANGE: tuple[Json, ...] = (
    {"type": "namespace", "name": "mcp__notes", "description": "Notes", "tools": [SHELL]},
    {"type": "web_search", "external_web_access": True},
    {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
    },
    {"type": "tool_search", "execution": "client"},
)
HEADERS = {
    "openai-beta": "responses_websockets=2026-02-06",
    "originator": "codex_cli_rs",
    "session_id": "0199",
    "x-codex-turn-metadata": '{"turn_id":"1"}',
}
NOTICE: Json = {
    "type": "message",
    "role": "developer",
    "content": [{"type": "input_text", "text": "sandbox"}],
}


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


def user(text: str) -> Json:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def body(*items: object, **more: object) -> Json:
    """A request with everything that comes with one."""
    return {
        "model": MODEL,
        "instructions": "You are a coding agent.",
        "input": [NOTICE, *items],
        "tools": [SHELL, *STRANGE],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "1", "session_id": "0199"},
        **more,
    }


async def over_sse(server: Served, asked: Json) -> Data:
    """The last event of a streamed answer."""
    answer = await server.client.post("/v1/responses", json=asked, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    events = events_in(answer.content)
    assert violations(events) == []
    return [event.data for event in events if event.data is not None][-1]


async def over_a_socket(server: Served, *asked: Json) -> list[Data]:
    """The last event of each turn on one connection."""
    head = handshake(**{name.replace("-", "_"): value for name, value in HEADERS.items()})
    last = []
    async with connected(server.port, head) as client:
        for each in asked:
            await client.say({"type": "response.create", **each})
            events = await client.turn()
            if events[-1]["type"] != "error":
                assert violations(events_told(events)) == []
            last.append(events[-1])
    return last


@asynccontextmanager
async def before_upstream() -> AsyncIterator[tuple[Served, FakeUpstream]]:
    """A server in front of one that speaks the dialect, for a reasoning model."""
    with anyio.fail_after(10):
        async with serve_upstream() as upstream:
            config = {
                "providers": {"up": {"kind": "openai", "api": "responses", "base_url": upstream.base_url}},
                "models": {MODEL: {"provider": "up", "reasoning": True}},
                "assistants": {},
            }
            async with served(Stage(unused=Script()), config=config) as server:
                yield server, upstream


async def test_everything_it_sends_is_tolerated_over_both() -> None:
    stage = Stage(demo=Obliging())
    with anyio.fail_after(10):
        async with served(stage) as server:
            [told] = await over_a_socket(server, body(user("run 'ls'")))
            streamed = await over_sse(server, body(user("run 'ls'")))
    for last in (told, streamed):
        response = last["response"]
        assert (last["type"], response["store"]) == ("response.completed", False)
        assert [(item["type"], item["arguments"]) for item in response["output"]] == [
            ("function_call", '{"command":"ls"}')
        ]
        assert response["tools"] == [SHELL, *STRANGE]
        assert response["reasoning"] == {"effort": "medium", "summary": "auto"}
    for call in stage.handlers["demo"].calls:
        assert [tool.name for tool in call.request.tools] == ["shell"]
        assert [block.text for block in call.request.system] == ["You are a coding agent.", "sandbox"]


async def test_an_upstream_that_may_know_it_is_told_all_of_it() -> None:
    async with before_upstream() as (server, upstream):
        upstream.queue(stream_of(*events_of(message("ok"))), stream_of(*events_of(message("ok"))))
        await over_sse(server, body(user("hi")))
        await over_a_socket(server, body(user("hi")))
    for exchange in upstream.exchanges:
        sent: Any = exchange.json()
        assert sent["tools"] == [SHELL, *STRANGE]
        assert sent["client_metadata"] == {"x-codex-installation-id": "1", "session_id": "0199"}
        assert sent["include"] == ["reasoning.encrypted_content"]
        assert (sent["store"], sent["prompt_cache_key"]) == (False, "0199")
        assert sent["text"] == {"verbosity": "low"}


async def test_reasoning_comes_encrypted_and_goes_back_with_the_whole_history() -> None:
    thought, call = reasoning("hm"), function_call("shell", '{"command":"ls"}')
    async with before_upstream() as (server, upstream):
        upstream.queue(answers(thought, call)[0], stream_of(*events_of(message("done"))))
        first = await over_sse(server, body(user("run ls")))
        output = first["response"]["output"]
        result = {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "a b"}
        last = await over_sse(server, body(user("run ls"), *output, result))
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    assert (output[0]["id"], output[0]["encrypted_content"]) == ("rs_1", "gAAAA")
    sent: Any = upstream.exchanges[-1].json()["input"]
    assert [item.get("type", item.get("role")) for item in sent][-4:] == [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    [again] = [item for item in sent if item.get("type") == "reasoning"]
    assert (again["id"], again["encrypted_content"]) == ("rs_1", "gAAAA")
    assert text_in(last) == "done"


async def test_on_a_socket_it_warms_up_and_then_sends_only_what_is_new() -> None:
    with anyio.fail_after(10):
        async with served(Stage(demo=Script())) as server, connected(server.port) as client:
            await client.say({"type": "response.create", **body(user("one"), generate=False)})
            warm = (await client.turn())[-1]
            follow = {**body(), "input": [user("two")], "previous_response_id": warm["response"]["id"]}
            await client.say({"type": "response.create", **follow})
            last = (await client.turn())[-1]
    assert warm["response"]["output"] == []
    assert last["response"]["previous_response_id"] == warm["response"]["id"]
    assert text_in(last) == "echo: onetwo"


async def test_lost_history_is_told_over_both_so_that_it_sends_all_again() -> None:
    with anyio.fail_after(10):
        async with served(Stage(demo=Script())) as server:
            lost, recovered = await over_a_socket(
                server, body(user("two"), previous_response_id="resp_lost"), body(user("one"), user("two"))
            )
            answer = await server.client.post(
                "/v1/responses", json=body(user("two"), previous_response_id="resp_lost"), headers=HEADERS
            )
            again = await over_sse(server, body(user("one"), user("two")))
    assert (lost["type"], lost["error"]["code"]) == ("error", "previous_response_not_found")
    assert answer.json()["error"]["code"] == "previous_response_not_found"
    assert answer.status_code in {400, 404}
    assert answer.headers["content-type"] == "application/json"
    assert text_in(recovered) == text_in(again) == "echo: onetwo"


async def test_one_that_cannot_upgrade_is_told_and_goes_over_to_events() -> None:
    with anyio.fail_after(10):
        async with served(Stage(demo=Script())) as server:
            answer: httpx2.Response = await server.client.get("/v1/responses")
            told = await over_sse(server, body(user("hi")))
    assert answer.status_code == 426
    assert text_in(told) == "echo: hi"
    assert json.loads(answer.content)["error"]["message"]
