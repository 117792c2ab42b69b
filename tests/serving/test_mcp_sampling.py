"""Servers of tools that ask for a generation in the middle of a call, through the running HTTP server."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import anyio
import httpx2
import pytest

from callboard.actors.rate_limiter import Accounts
from callboard.domain.client_key import Allowance
from callboard.domain.message import text_of, tool_results
from callboard.providers.script import AnyStep, Hold, Text, Tool
from callboard.runtime import Runtime
from callboard.serving.key_desk import KeyOrder
from tests.fakes.company import Stage, replies
from tests.fakes.keyed import bearer, make_key
from tests.fakes.mcp_servers import RAW, SDK
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

UNASKED = {"command": sys.executable, "approve": "never"}
ALLOWED = {"enabled": True, "models": ["wise-model"]}
WIRES = [pytest.param("stdio", "2026-07-28", id="2026"), pytest.param("old", "2025-11-25", id="2025")]


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


def asking(how: str, sampling: Mapping[str, object] = ALLOWED) -> dict[str, object]:
    """A configuration with one server of the SDK's."""
    return {"mcp": {"servers": {"sdk": {**UNASKED, "args": [SDK, how], "sampling": dict(sampling)}}}}


def staged(*wise: AnyStep, tool: str = "sample") -> Stage:
    """A model that calls the tool, and the one that the tool's server asks."""
    turn = ([Tool(name=tool, id="c1", arguments={})], [Text(text="It is done.")])
    return Stage(demo=replies(*turn), wise=replies(wise or [Text(text="Paris")]))


async def up(runtime: Runtime) -> str:
    """Wait for the server; the wire that it speaks."""
    while True:
        (state,) = await runtime.tool_servers()
        if state.state == "up":
            return state.protocol
        await anyio.sleep(0.005)


async def chat(client: httpx2.AsyncClient, headers: Mapping[str, str]) -> str:
    body = {"model": "demo-model", "messages": [{"role": "user", "content": "go"}], "stream": True}
    answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"])


async def respond(client: httpx2.AsyncClient, headers: Mapping[str, str]) -> str:
    body = {"model": "demo-model", "input": "go", "stream": True}
    answer = await client.post("/v1/responses", json=body, headers=headers)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert events[-1]["type"] == "response.completed"
    return str(events[-1]["response"]["output"][-1]["content"][0]["text"])


async def settled(server: Served) -> Accounts:
    accounts = await server.runtime.accounts()
    while accounts.tokens.open:
        await anyio.lowlevel.checkpoint()
        accounts = await server.runtime.accounts()
    return accounts


def result_of(stage: Stage) -> str:
    """What the model was told of its call."""
    (result,) = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])
    return text_of(result.content)


@pytest.mark.parametrize("ask", [chat, respond])
@pytest.mark.parametrize("how, wire", WIRES)
async def test_a_tool_gets_its_generation_and_the_key_of_the_turn_pays_for_it(
    how: str, wire: str, ask: object
) -> None:
    stage = staged()
    with anyio.fail_after(20):
        async with served(stage, config=asking(how)) as server:
            # One at a time: a turn that waits for its tool must not stand in the way of what the tool asks.
            order = KeyOrder(name="paying", allowance=Allowance(parallel=1))
            token, key = await make_key(server.runtime, order)
            await make_key(server.runtime, KeyOrder(name="another"))
            assert await up(server.runtime) == wire
            streamed = chat if ask is chat else respond
            assert await streamed(server.client, bearer(token)) == "It is done."
            accounts = await settled(server)
    assert result_of(stage).endswith(" says Paris")
    (sampled,) = stage.handlers["wise"].calls
    assert text_of(sampled.request.messages[0].content) == "capital?"
    assert sampled.request.max_output_tokens == 50
    assert sampled.request.tools == ()
    lines = accounts.recent
    assert [each.model for each in lines] == ["demo-model", "wise-model", "demo-model"]
    assert {each.key for each in lines} == {key.id}
    assert len({each.request_id for each in lines}) == 1
    assert (lines[1].outcome, lines[1].output_tokens, lines[1].output_basis) == ("completed", 1, "reported")
    assert accounts.by_key[key.id].attempts == 3


@pytest.mark.parametrize("how, wire", WIRES)
async def test_a_server_that_may_offer_tools_is_told_what_the_model_calls_and_runs_it_itself(
    how: str, wire: str
) -> None:
    stage = staged(Tool(name="look", id="l1", arguments={"at": "it"}), tool="sample_with_tools")
    with anyio.fail_after(20):
        async with served(stage, config=asking(how, {**ALLOWED, "tools": True})) as server:
            assert await up(server.runtime) == wire
            assert await chat(server.client, {}) == "It is done."
    assert result_of(stage) == "toolUse: look {'at': 'it'}"
    (sampled,) = stage.handlers["wise"].calls
    assert [each.name for each in sampled.request.tools] == ["look"]


@pytest.mark.parametrize("how, wire", WIRES)
async def test_a_server_that_may_not_offer_tools_is_told_so(how: str, wire: str) -> None:
    stage = staged(tool="sample_with_tools")
    with anyio.fail_after(20):
        async with served(stage, config=asking(how)) as server:
            assert await up(server.runtime) == wire
            assert await chat(server.client, {}) == "It is done."
    assert "did not declare the sampling.tools capability" in result_of(stage)
    assert not stage.handlers["wise"].calls


@pytest.mark.parametrize("how, wire", WIRES)
async def test_a_server_without_a_policy_is_told_so_and_the_turn_goes_on(how: str, wire: str) -> None:
    stage = staged()
    with anyio.fail_after(20):
        async with served(stage, config=asking(how, {})) as server:
            assert await up(server.runtime) == wire
            assert await chat(server.client, {}) == "It is done."
    assert "did not declare the sampling capability" in result_of(stage)
    assert not stage.handlers["wise"].calls


async def test_a_push_that_no_policy_allows_is_an_error_to_the_server_and_a_line_in_the_log() -> None:
    stage = staged()
    config = {"mcp": {"servers": {"raw": {**UNASKED, "args": ["-I", "-S", RAW, "honest"]}}}}
    with anyio.fail_after(20):
        async with served(stage, config=config) as server:
            await up(server.runtime)
            assert await chat(server.client, {}) == "It is done."
    assert json.loads(result_of(stage)) == {"code": -32600, "message": "Sampling not supported"}
    (line,) = [each for each in stage.lines() if 'msg="tool source refused"' in each]
    assert 'source=raw request=sampling/createMessage reason="it is not allowed for this server"' in line


@pytest.mark.parametrize("how, wire", WIRES)
async def test_a_key_that_may_not_ask_for_the_model_gives_it_to_no_server_either(how: str, wire: str) -> None:
    stage = staged()
    with anyio.fail_after(20):
        async with served(stage, config=asking(how)) as server:
            order = KeyOrder(name="narrow", models=("demo-model",))
            token, _ = await make_key(server.runtime, order)
            assert await up(server.runtime) == wire
            assert await chat(server.client, bearer(token)) == "It is done."
    assert "no model is configured for sampling" in result_of(stage)
    assert not stage.handlers["wise"].calls
    (line,) = [each for each in stage.lines() if 'msg="tool source refused"' in each]
    assert 'source=sdk request=sampling/createMessage reason="no model is configured for sampling"' in line


@pytest.mark.parametrize("how, wire", WIRES)
async def test_leaving_the_turn_ends_the_generation_of_its_tool(how: str, wire: str) -> None:
    stage = staged(Hold(gate="g"), Text(text="never"))
    with anyio.fail_after(20):
        async with served(stage, config=asking(how)) as server:
            assert await up(server.runtime) == wire
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chat, server.client, {})
                while not stage.handlers["wise"].calls:
                    await anyio.sleep(0.005)
                tasks.cancel_scope.cancel()
            accounts = await settled(server)
            while len(accounts.recent) < 2:
                await anyio.sleep(0.005)
                accounts = await settled(server)
    assert [(each.model, each.outcome) for each in accounts.recent] == [
        ("demo-model", "completed"),
        ("wise-model", "cancelled"),
    ]
