"""MCP servers that a request names by their URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from callboard.domain.message import text_of, tool_results
from callboard.providers.script import AnyStep, Fail, Text, Tool
from callboard.serving.key_desk import KeyOrder
from tests.fakes.approving import Json, answer_to, request_in, respond, send, told
from tests.fakes.company import Stage, replies
from tests.fakes.keyed import bearer, make_key
from tests.fakes.mcp_servers import listening, until
from tests.fakes.served import Served, served
from tests.oracles.responses_lifecycle import events_in, violations

pytestmark = pytest.mark.anyio
ADD = Tool(name="far__add", id="c1", arguments={"a": 1, "b": 2})
DONE = Text(text="It is done.")


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


def far(url: str, **more: object) -> Json:
    """The tool that names the server."""
    return {"type": "mcp", "server_label": "far", "server_url": url, "require_approval": "never", **more}


@asynccontextmanager
async def remote(*steps: AnyStep, allow: bool = True) -> AsyncIterator[tuple[Served, Stage, str, Any]]:
    """A server behind a URL, and a company that may or may not go there."""
    stage = Stage(demo=replies(steps, [DONE], [DONE], [DONE]))
    with anyio.fail_after(25), listening() as (url, process):
        config = {"mcp": {"remote": [f"{url.rpartition('/')[0]}/*"] if allow else []}}
        async with served(stage, config=config) as server:
            yield server, stage, url, process


def types(response: Json) -> list[str]:
    return [item["type"] for item in response["output"]]


async def test_a_server_is_used_for_one_turn_and_no_secret_of_it_is_told() -> None:
    header = Tool(name="far__header", id="c1", arguments={})
    async with remote(header) as (server, stage, url, _):
        tool = far(url, headers={"X-Secret": "hunter2"}, authorization="hunter2")
        answer = await send(server, tools=[tool], stream=True)
        events = events_in(answer.content)
        assert violations(events) == []
        response = events[-2].data["response"] if events[-2].data else {}
        stored = await server.client.get(f"/v1/responses/{response['id']}")
        record = await server.runtime.wiring.store.response("local", response["id"])
        await respond(server)
    assert types(response) == ["mcp_list_tools", "mcp_call", "message"]
    assert told(stage, 1) == ["hunter2"]
    assert "add" in [tool["name"] for tool in response["output"][0]["tools"]]
    assert response["tools"] == [far(url)]
    told_of = answer.text.replace('"output":"hunter2"', "") + "".join(stage.lines())
    assert "hunter2" not in told_of
    assert stored.json() == response
    assert record is not None
    assert b"hunter2" not in record.request
    last = stage.handlers["demo"].calls[-1].request
    assert last.tools == ()


async def test_unless_the_operator_allows_the_url_nobody_goes_there() -> None:
    async with remote(ADD, allow=False) as (server, stage, url, _):
        refused = await send(server, tools=[far(url)])
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "invalid_request_error",
        "mcp_server_not_allowed",
        "tools",
    )
    assert "[mcp] remote" in error["message"]
    assert not stage.handlers["demo"].calls


@pytest.mark.parametrize(
    "change",
    [
        {"server_label": "a__b"},
        {"server_label": ""},
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {f"X-{number}": "a" for number in range(33)}},
        {"authorization": "a\r\nX: y"},
        {"allowed_tools": {"read_only": True}},
        {"allowed_tools": {"read_only": False, "tool_names": ["add"]}},
    ],
)
async def test_what_cannot_be_sent_is_refused(change: Json) -> None:
    async with remote(ADD) as (server, _, url, _):
        refused = await send(server, tools=[{**far(url), **change}])
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "word", [None, {}, {"never": {"read_only": True}}, {"always": {"read_only": False}}, {"always": {}}]
)
async def test_without_names_of_the_clients_everything_waits(word: Json | None) -> None:
    async with remote(ADD) as (server, stage, url, _):
        tool = far(url, require_approval=word)
        first = await respond(server, tools=[tool])
        assert types(first) == ["mcp_list_tools", "mcp_approval_request"]
        given = [answer_to(request_in(first))]
        last = await respond(server, given, previous_response_id=first["id"], tools=[tool])
    assert types(last) == ["mcp_call", "message"]
    assert told(stage) == ["3.0"]


async def test_an_approval_without_the_server_runs_nothing() -> None:
    async with remote(ADD) as (server, stage, url, _):
        first = await respond(server, tools=[far(url, require_approval="always")])
        await respond(server, [answer_to(request_in(first))], previous_response_id=first["id"])
    (result,) = tool_results(stage.handlers["demo"].calls[1].request.messages[-1])
    assert result.is_error
    assert "far__add" in text_of(result.content)


async def test_only_what_is_allowed_is_offered_and_run() -> None:
    async with remote(ADD) as (server, stage, url, _):
        response = await respond(server, tools=[far(url, allowed_tools=["pid"])])
    assert [tool["name"] for tool in response["output"][0]["tools"]] == ["pid"]
    assert types(response) == ["mcp_list_tools", "message"]
    assert [tool.name for tool in stage.handlers["demo"].calls[0].request.tools] == ["far__pid"]


async def test_a_key_may_only_call_what_it_may() -> None:
    async with remote(ADD) as (server, stage, url, _):
        order = KeyOrder(name="k", tools=("far__pid",))
        headers = bearer((await make_key(server.runtime, order))[0])
        await respond(server, tools=[far(url)], headers=headers)
    assert [tool.name for tool in stage.handlers["demo"].calls[0].request.tools] == ["far__pid"]


async def test_a_server_that_is_not_there_is_told_before_anything_is_done() -> None:
    async with remote(ADD) as (server, stage, url, process):
        process.kill()
        process.wait()
        refused = await send(server, tools=[far(url)])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "mcp_server_unavailable")
    assert not stage.handlers["demo"].calls


async def test_a_server_that_dies_in_a_call_costs_the_call_a_result_and_no_more() -> None:
    steps: list[AnyStep] = [Tool(name="far__die", id="c1", arguments={})]
    async with remote(*steps) as (server, stage, url, _):
        response = await respond(server, tools=[far(url)])
    assert types(response) == ["mcp_list_tools", "mcp_call", "message"]
    assert response["output"][1]["status"] == "failed"
    assert "failed with error" in told(stage)[0]


def connections(port: int) -> int:
    """How many connections to a port of this machine are established, seen from our side."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(fields[2].endswith(f":{port:04X}") and fields[3] == "01" for fields in lines)


@pytest.mark.parametrize("leaves", [False, True])
async def test_the_session_ends_with_the_turn(leaves: bool) -> None:
    tool = Tool(name="far__hang" if leaves else "far__pid", id="c1", arguments={})
    async with remote(tool) as (server, stage, url, _):
        port = int(url.split(":")[2].split("/")[0])
        if leaves:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(send, server, tools=[far(url)]))
                await until(lambda: any('msg="executing tool"' in line for line in stage.lines()))
                assert connections(port) > 0
                tasks.cancel_scope.cancel()
        else:
            await respond(server, tools=[far(url)])
        await until(lambda: connections(port) == 0)


async def test_what_the_model_fails_with_is_told_as_it_is() -> None:
    async with remote(Fail(error="upstream_invalid_request")) as (server, _, url, _):
        plain = await send(server, tools=[far(url)])
    assert plain.status_code == 400
    assert plain.json()["error"]["type"] == "invalid_request_error"


async def test_nothing_is_done_in_the_background_with_what_is_kept_nowhere() -> None:
    async with remote(ADD) as (server, _, url, _):
        refused = await send(server, tools=[far(url)], background=True)
        many = [{**far(url), "server_label": f"far{number}"} for number in range(5)]
        crowd = await send(server, tools=many)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "background")
    assert crowd.status_code == 400
