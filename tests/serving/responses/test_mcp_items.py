"""MCP servers that a request names by an ``mcp`` tool: what is offered, and what the client is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callboard.domain.message import text_of, tool_uses
from callboard.providers.script import Text, Tool
from tests.fakes.approving import (
    Json,
    answer_to,
    asking,
    configured,
    desk,
    done,
    note,
    request_in,
    respond,
    results,
    send,
    told,
    up,
)
from tests.fakes.served import served
from tests.oracles.responses_lifecycle import Data, events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

pytestmark = pytest.mark.anyio
DESK: Json = {"type": "mcp", "server_label": "desk"}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the MCP server writes down."""
    return tmp_path / "ledger"


def data_of(content: bytes) -> list[Data]:
    events = events_in(content)
    assert violations(events) == []
    data = [event.data for event in events if event.data is not None]
    for each in data:
        check_event(each)
    return data


def types(response: Any) -> list[str]:
    return [item["type"] for item in response["output"]]


async def test_a_client_that_names_a_server_sees_its_tools_and_their_calls(ledger: Path) -> None:
    stage = asking(Text(text="Let me see."), note("a"), note("b", "free", "c2"))
    async with desk(stage, ledger, "never") as server:
        answer = await send(server, tools=[DESK], stream=True)
        data = data_of(answer.content)
        response = data[-1]["response"]
        stored = (await server.client.get(f"/v1/responses/{response['id']}")).json()
        after = await respond(server, "more", previous_response_id=response["id"], tools=[DESK])
    check_response(response)
    assert stored == response
    assert types(response) == ["mcp_list_tools", "message", "mcp_call", "mcp_call", "message"]
    listed, _, first, second, _ = response["output"]
    assert (listed["server_label"], [tool["name"] for tool in listed["tools"]]) == (
        "desk",
        ["free", "note", "slow"],
    )
    assert [(each["name"], each["output"], each["status"]) for each in (first, second)] == [
        ("note", "done: note", "completed"),
        ("free", "done: free", "completed"),
    ]
    assert first["arguments"] == '{"text":"a"}'
    assert (first["error"], first["approval_request_id"]) == (None, None)
    kinds = [each["type"].removeprefix("response.") for each in data if each.get("output_index") == 2]
    assert kinds == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    kinds = [each["type"].removeprefix("response.") for each in data if each.get("output_index") == 0]
    assert kinds == [
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
    ]
    assert types(after) == ["message"]  # it has the list already


async def test_a_client_that_names_none_sees_nothing_of_them(ledger: Path) -> None:
    stage = asking(note())
    async with desk(stage, ledger, "never") as server:
        response = await respond(server)
    assert types(response) == ["message"]
    assert done(ledger) == ["note milk"]


async def test_the_names_of_messages_do_not_depend_on_what_else_is_shown(ledger: Path) -> None:
    stage = asking(Text(text="Let me see."), note())
    async with desk(stage, ledger, "never") as server:
        conversation = (await server.client.post("/v1/conversations", json={})).json()["id"]
        response = await respond(server, tools=[DESK], conversation=conversation)
        path = f"/v1/conversations/{conversation}/items"
        items = (await server.client.get(f"{path}?order=asc")).json()["data"]
    messages = [item["id"] for item in response["output"] if item["type"] == "message"]
    assert messages == [item["id"] for item in items if item.get("role") == "assistant"]


async def test_a_call_that_fails_says_so(ledger: Path) -> None:
    stage = asking(Tool(name="note", id="c1", arguments={"text": 5}))
    async with desk(stage, ledger, "never") as server:
        answer = await send(server, tools=[DESK], stream=True)
    data = data_of(answer.content)
    call = data[-1]["response"]["output"][1]
    assert (call["type"], call["status"], call["output"]) == ("mcp_call", "failed", None)
    assert call["error"]["content"] == [{"type": "text", "text": told(stage)[0]}]
    assert any(each["type"] == "response.mcp_call.failed" for each in data)
    assert done(ledger) == []


async def test_a_tool_that_was_not_allowed_is_not_run_whoever_names_it(ledger: Path) -> None:
    async with desk(asking(note()), ledger, "never") as server:
        response = await respond(server, tools=[{**DESK, "allowed_tools": ["free"]}])
    assert types(response) == ["mcp_list_tools", "message"]
    assert done(ledger) == []


async def test_only_what_is_allowed_of_the_named_servers_is_offered(ledger: Path) -> None:
    stage = asking(Text(text="Hm."))
    other = configured(ledger, "never")["mcp"]["servers"]["desk"]  # type: ignore[index]
    config = {"mcp": {"servers": {"desk": other, "lamp": other}}}
    async with served(stage, config=config) as server:
        await up(server.runtime, "desk")
        await up(server.runtime, "lamp")
        response = await respond(server, tools=[{**DESK, "allowed_tools": {"tool_names": ["n*", "slow"]}}])
        await respond(server, tools=[DESK, {"type": "mcp", "server_label": "lamp"}])
        await respond(server)
    offered = [[tool.name for tool in call.request.tools] for call in stage.handlers["demo"].calls]
    assert offered[0] == ["desk__note", "desk__slow"]
    assert len(offered[1]) == len(offered[2]) == 6
    assert [tool["name"] for tool in response["output"][0]["tools"]] == ["note", "slow"]


async def test_an_approved_call_is_shown_with_the_request_that_it_answers(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await respond(server, tools=[DESK])
        request = request_in(first)
        given = [answer_to(request)]
        answer = await send(server, given, previous_response_id=first["id"], tools=[DESK], stream=True)
    last = data_of(answer.content)[-1]["response"]
    check_response(last)
    assert types(first) == ["mcp_list_tools", "mcp_approval_request"]
    assert types(last) == ["mcp_call", "message"]
    assert last["output"][0]["approval_request_id"] == request["id"]
    assert done(ledger) == ["note milk"]


async def test_a_later_call_of_the_same_name_is_a_call_of_its_own(ledger: Path) -> None:
    stage = asking(note("a"), then=[[note("b", "free")], [Text(text="It is done.")]])
    async with desk(stage, ledger) as server:
        first = await respond(server, tools=[DESK])
        given = [answer_to(request_in(first))]
        last = await respond(server, given, previous_response_id=first["id"], tools=[DESK])
    assert types(last) == ["mcp_call", "mcp_call", "message"]
    assert [each["status"] for each in last["output"][:2]] == ["completed", "completed"]


@pytest.mark.parametrize(
    "wanted, asks",
    [
        (None, ["note"]),
        ("always", ["free", "note"]),
        ("never", ["note"]),
        ({"always": {"tool_names": ["free"]}}, ["free", "note"]),
        ({"never": {"tool_names": ["note"]}}, ["free", "note"]),
        ({"never": {"read_only": True}}, ["free", "note"]),
        ({"never": {"read_only": True, "tool_names": ["free"]}}, ["free", "note"]),
        ({"always": {"tool_names": []}}, ["note"]),
        ({"always": {"read_only": False}}, ["free", "note"]),
        ({}, ["note"]),
    ],
)
async def test_a_client_can_ask_for_more_approvals_and_never_for_less(
    ledger: Path, wanted: object, asks: list[str]
) -> None:
    async with desk(asking(note("a", "free", "c0"), note("a")), ledger) as server:
        response = await respond(server, tools=[{**DESK, "require_approval": wanted}])
    requests = [item["name"] for item in response["output"] if item["type"] == "mcp_approval_request"]
    assert requests == asks


async def test_a_client_that_keeps_its_conversation_sends_the_items_back(ledger: Path) -> None:
    stage = asking(note("eggs", "free", "c0"), note())
    said = {"role": "user", "content": "go"}
    async with desk(stage, ledger) as server:
        first = await respond(server, [said], store=False, tools=[DESK])
        given = [said, *first["output"], answer_to(request_in(first))]
        second = await respond(server, given, store=False, tools=[DESK])
        assert types(second) == ["mcp_call", "message"]
        whole = [*given, *second["output"], {"role": "user", "content": "thanks"}]
        await respond(server, whole, store=False, tools=[DESK])
    assert told(stage, 2) == ["done: free", "done: note"]
    sent = stage.handlers["demo"].calls[2].request.messages
    assert [call.name for message in sent for call in tool_uses(message)] == ["desk__free", "desk__note"]
    assert not any(result.is_error for result in results(stage, 2))
    assert text_of(sent[-1].content) == "thanks"
    assert done(ledger) == ["free eggs", "note milk"]


async def test_a_server_that_is_not_configured_is_refused(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        unknown = await send(server, tools=[{"type": "mcp", "server_label": "gone"}])
        twice = await send(server, tools=[DESK, DESK])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_mcp_server")
    assert (twice.status_code, twice.json()["error"]["param"]) == (400, "tools")


async def test_what_lets_somebody_in_is_not_repeated(ledger: Path) -> None:
    secret = {**DESK, "headers": {"X-Key": "s3cret"}, "authorization": "s3cret"}
    async with desk(asking(Text(text="Hm.")), ledger) as server:
        response = await respond(server, tools=[secret])
        stored = await server.client.get(f"/v1/responses/{response['id']}")
    assert response["tools"] == [DESK]
    assert "s3cret" not in stored.text
