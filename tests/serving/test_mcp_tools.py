"""Tools of MCP servers through the running HTTP server, in both dialects, streamed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import anyio
import pytest

import callboard
from callboard.domain.block import ImageBlock
from callboard.domain.message import text_of, tool_results
from callboard.errors import ConfigurationError
from callboard.providers.script import AnyStep, Text, Tool
from callboard.runtime import Runtime
from tests.fakes.company import Stage, replies
from tests.fakes.mcp_servers import RAW, SDK
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio
UNASKED = {"command": sys.executable, "approve": "never"}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


def configured(**more: object) -> Mapping[str, object]:
    return {
        "mcp": {
            "servers": {
                "raw": {**UNASKED, "args": ["-I", "-S", RAW, "honest"], **more},
                "gone": {**UNASKED, "args": ["-I", "-S", RAW, "quits"]},
                "hung": {**UNASKED, "args": ["-I", "-S", RAW, "hung"]},
            }
        }
    }


async def up(runtime: Runtime, server: str) -> None:
    while server not in {each.server for each in await runtime.tool_servers() if each.state == "up"}:
        await anyio.sleep(0.005)


def calling(tool: str, **arguments: object) -> Stage:
    call: list[AnyStep] = [Tool(name=tool, id="c1", arguments=arguments)]
    return Stage(demo=replies(call, [Text(text="It is done.")]))


async def chat(server: Served, **more: object) -> str:
    body = {"model": "demo-model", "messages": [{"role": "user", "content": "go"}], "stream": True, **more}
    answer = await server.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"])


async def test_a_streamed_chat_runs_the_tool_and_shows_its_result_to_the_model_alone() -> None:
    stage = calling("echo", a="canary")
    with anyio.fail_after(15):
        async with served(stage, config=configured()) as server:
            await up(server.runtime, "raw")
            assert await chat(server) == "It is done."
    first, second = (call.request for call in stage.handlers["demo"].calls)
    assert [tool.name for tool in first.tools][:3] == ["cancelled", "count", "die"]
    assert text_of(tool_results(second.messages[-1])[0].content) == '{"a": "canary"}'
    assert any('msg="executing tool"' in line and "name=echo" in line for line in stage.lines())
    assert any('msg="tool source up" source=raw protocol=2025-06-18' in line for line in stage.lines())
    assert not any("canary" in line for line in stage.lines())


async def test_a_streamed_response_runs_the_tool_too() -> None:
    stage = calling("raw__echo", a=17)
    with anyio.fail_after(15):
        async with served(stage, config=configured()) as server:
            await up(server.runtime, "raw")
            # By its full name, which it is not shown under: nothing runs that was not offered.
            body = {"model": "demo-model", "input": "go", "stream": True}
            answer = await server.client.post("/v1/responses", json=body)
            assert "event: response.completed" in answer.text
    result = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])[0]
    assert result.is_error

    stage = calling("echo", a=17)
    with anyio.fail_after(15):
        async with served(stage, config=configured()) as server:
            await up(server.runtime, "raw")
            answer = await server.client.post("/v1/responses", json=body)
            events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
            assert events[-1]["type"] == "response.completed"
            assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "It is done."
    result = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])[0]
    assert text_of(result.content) == '{"a": 17}'


async def test_a_server_that_dies_in_a_call_costs_the_turn_a_result_and_no_more() -> None:
    stage = calling("die")
    with anyio.fail_after(15):
        async with served(stage, config=configured()) as server:
            await up(server.runtime, "raw")
            with anyio.fail_after(1):
                assert await chat(server) == "It is done."
            await up(server.runtime, "raw")
    result = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])[0]
    assert "failed with error" in text_of(result.content)
    assert any('msg="tool source down" source=raw' in line for line in stage.lines())


async def test_a_tool_of_the_clients_with_the_same_name_wins() -> None:
    stage = calling("echo", a=17)
    function = {"type": "function", "function": {"name": "echo", "parameters": {"type": "object"}}}
    with anyio.fail_after(15):
        async with served(stage, config=configured()) as server:
            await up(server.runtime, "raw")
            body = {
                "model": "demo-model",
                "messages": [{"role": "user", "content": "go"}],
                "tools": [function],
            }
            answer = (await server.client.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert [each.name for each in stage.handlers["demo"].calls[0].request.tools].count("echo") == 1


async def test_an_image_of_a_tools_reaches_the_model() -> None:
    stage = calling("everything")
    config = {"mcp": {"servers": {"sdk": {**UNASKED, "args": [SDK, "stdio"]}}}}
    with anyio.fail_after(20):
        async with served(stage, config=config) as server:
            await up(server.runtime, "sdk")
            assert await chat(server) == "It is done."
    (result,) = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])
    assert any(isinstance(block, ImageBlock) for block in result.content)


async def test_a_configured_server_takes_requests_off_the_relay_even_before_it_is_up() -> None:
    with anyio.fail_after(10):
        async with served(calling("echo"), config=configured(enabled=False)) as server:
            assert server.runtime.has_tools


@callboard.tool(name="raw__add")
def misleading(a: int) -> int:
    """Named like a tool of the server's."""
    return a


async def test_a_function_that_is_named_like_a_servers_tool_is_refused_at_the_start() -> None:
    with anyio.fail_after(10), pytest.raises(ConfigurationError, match="named like one of the MCP server"):
        async with served(calling("echo"), config=configured(), tools=[misleading]):
            raise AssertionError("it does not start")


async def test_a_program_that_is_named_like_a_servers_tool_is_refused_at_the_start() -> None:
    config = {**configured(), "tools": {"raw__add": {"command": [sys.executable, "-c", "0"]}}}
    with anyio.fail_after(10), pytest.raises(ConfigurationError, match="named like one of the MCP server"):
        async with served(calling("echo"), config=config):
            raise AssertionError("it does not start")


async def test_a_tool_whose_name_a_program_has_is_shown_by_its_full_name_and_told() -> None:
    stage = calling("raw__echo", a=17)
    config = {**configured(), "tools": {"echo": {"command": [sys.executable, "-c", "0"]}}}
    with anyio.fail_after(15):
        async with served(stage, config=config) as server:
            await up(server.runtime, "raw")
            assert await chat(server) == "It is done."
    assert "echo" not in {each.name for each in stage.handlers["demo"].calls[0].request.tools}
    assert any('msg="tool name taken" source=raw tool=echo name=raw__echo' in line for line in stage.lines())


async def test_arguments_that_do_not_fit_and_names_that_are_none_are_results_of_the_turn() -> None:
    calls: list[AnyStep] = [
        Tool(name="add", id="c1", arguments={"a": "many"}),
        Tool(name="subtract", id="c2", arguments={}),
    ]
    stage = Stage(demo=replies(calls, [Text(text="Sorry.")]))
    config = {"mcp": {"servers": {"sdk": {**UNASKED, "args": [SDK, "stdio"]}}}}
    with anyio.fail_after(20):
        async with served(stage, config=config) as server:
            await up(server.runtime, "sdk")
            await chat(server)
    results = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])
    assert all(each.is_error for each in results)
    wrong, unknown = (text_of(each.content) for each in results)
    assert "add" in wrong
    assert unknown.startswith("There is no tool named 'subtract'. The available tools are: add, ")


async def test_the_operator_is_told_of_every_tool_and_of_servers_that_are_not_there() -> None:
    with anyio.fail_after(15):
        async with served(calling("echo"), config=configured(deny=["die*"])) as server:
            await up(server.runtime, "raw")
            states = {each.server: each.state for each in await server.runtime.tool_servers()}
            while states["gone"] != "down":
                await anyio.sleep(0.005)
                states = {each.server: each.state for each in await server.runtime.tool_servers()}
            reports = {each.name: each for each in await server.runtime.server_tools(0)}
    echo, die, gone, hung = (reports[name] for name in ("raw__echo", "raw__die", "gone", "hung"))
    assert (echo.source, echo.server, echo.state, echo.waits) == ("mcp", "raw", "available", False)
    assert echo.description == "Say it again."
    assert (die.state, die.reason) == ("disabled", "the server's table does not allow it, or denies it")
    assert (gone.server, gone.state) == ("gone", "unavailable")
    assert gone.reason
    assert (hung.state, hung.reason) == ("unavailable", "it has not started yet")
    assert len(reports) == 13
