"""Calls of MCP servers' tools that wait for the client's approval, through the running HTTP server."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.domain.approval import FORGOTTEN, NOT_APPROVED
from callboard.domain.message import text_of
from callboard.providers.script import Reply, Script, Text, Tool
from tests.fakes.approving import (
    ALREADY,
    EXPIRED,
    answer_to,
    asking,
    desk,
    done,
    finished,
    note,
    on_disk,
    refusal,
    request_in,
    respond,
    response_in,
    results,
    send,
    told,
)
from tests.fakes.company import Stage
from tests.fakes.socket_client import connected, stream_of
from tests.oracles.responses_lifecycle import events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

pytestmark = pytest.mark.anyio
SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the MCP server writes down."""
    return tmp_path / "ledger"


# --- asking


async def test_a_call_that_wants_approval_is_not_run_and_shown_as_a_request(ledger: Path) -> None:
    stage = asking(Text(text="Let me see."), note())
    async with desk(stage, ledger) as server:
        response = await respond(server)
        again = (await server.client.get(f"/v1/responses/{response['id']}")).json()
    assert response["status"] == "completed"
    check_response(response)
    assert [item["type"] for item in response["output"]] == ["message", "mcp_approval_request"]
    request = request_in(response)
    assert request["id"].startswith("mcpr_")
    assert (request["server_label"], request["name"], request["arguments"]) == (
        "desk",
        "note",
        '{"text":"milk"}',
    )
    assert again == response
    assert done(ledger) == []
    assert len(stage.handlers["demo"].calls) == 1
    assert "note" in [tool.name for tool in stage.handlers["demo"].calls[0].request.tools]


async def test_streamed_the_request_is_an_item_like_any_other(ledger: Path) -> None:
    async with desk(asking(Text(text="Let me see."), note()), ledger) as server:
        answer = await send(server, stream=True)
        events = events_in(answer.content)
        response_id = events[-2].data["response"]["id"] if events[-2].data else ""
        replayed = await server.client.get(f"/v1/responses/{response_id}?stream=true")
    assert violations(events) == []
    data = [event.data for event in events if event.data is not None]
    for each in data:
        check_event(each)
    told_of = [each["type"] for each in data if each.get("item", {}).get("type") == "mcp_approval_request"]
    assert told_of == ["response.output_item.added", "response.output_item.done"]
    assert data[-1]["type"] == "response.completed"
    assert data[-1]["response"]["output"][1] == data[-2]["item"]
    assert replayed.content == answer.content


async def test_other_calls_of_the_same_answer_are_run_or_returned(ledger: Path) -> None:
    stage = asking(note("eggs", "free", "c0"), note(), Tool(name="shell", id="c2", arguments={}))
    async with desk(stage, ledger) as server:
        first = await respond(server, tools=[SHELL])
        assert [item["type"] for item in first["output"]] == ["function_call", "mcp_approval_request"]
        assert done(ledger) == ["free eggs"]
        given = [
            answer_to(request_in(first)),
            {"type": "function_call_output", "call_id": "c2", "output": "$"},
        ]
        last = await respond(server, given, previous_response_id=first["id"], tools=[SHELL])
    assert last["output"][-1]["content"][0]["text"] == "It is done."
    assert done(ledger) == ["free eggs", "note milk"]
    assert sorted(told(stage)) == ["$", "done: free", "done: note"]


async def test_two_requests_of_one_answer_are_answered_each_for_itself(ledger: Path) -> None:
    stage = asking(note("a", call_id="c1"), note("a", call_id="c2"), note("b", call_id="c3"))
    async with desk(stage, ledger) as server:
        first = await respond(server)
        requests = [item for item in first["output"] if item["type"] == "mcp_approval_request"]
        assert len({each["id"] for each in requests}) == 3
        given = [answer_to(requests[0]), answer_to(requests[2], False, reason="too much")]
        await respond(server, given, previous_response_id=first["id"])
    assert done(ledger) == ["note a"]
    assert {each.tool_use_id: text_of(each.content) for each in results(stage)} == {
        "c1": "done: note",
        "c2": NOT_APPROVED,
        "c3": f"{NOT_APPROVED} The reason given: too much",
    }


@pytest.mark.parametrize(
    "approve, asks",
    [
        ("always", {"free", "note", "slow"}),
        ("never", set()),
        ({"always": {"tool_names": ["note"]}}, {"note"}),
        ({"never": {"tool_names": ["note"]}}, {"free", "slow"}),
        ({"always": {"tool_names": ["n*"]}, "never": {"tool_names": ["note", "slow"]}}, {"free", "note"}),
    ],
)
async def test_the_operator_says_which_tools_wait(ledger: Path, approve: object, asks: set[str]) -> None:
    stage = asking(*(note(name, name, name) for name in ("free", "note")))
    async with desk(stage, ledger, approve) as server:
        response = await respond(server)
    requests = {item["name"] for item in response["output"] if item["type"] == "mcp_approval_request"}
    assert requests == asks - {"slow"}
    assert set(done(ledger)) == {f"{name} {name}" for name in {"free", "note"} - asks}


async def test_arguments_that_are_none_are_not_worth_asking_about(ledger: Path) -> None:
    stage = asking(Tool(name="note", id="c1", arguments_text='{"text": '))
    async with desk(stage, ledger) as server:
        response = await respond(server)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert "not a JSON object" in told(stage)[0]


async def test_a_call_of_an_answer_that_was_cut_short_is_not_asked_about(ledger: Path) -> None:
    cut = Reply(steps=(Text(text="Let me"), note()), stop_reason="max_tokens")
    stage = Stage(demo=Script(replies=(cut,)))
    async with desk(stage, ledger) as server:
        response = await respond(server)
    assert response["status"] == "incomplete"
    assert [item["type"] for item in response["output"]] == ["message"]


async def test_a_dialect_without_approvals_is_not_offered_such_tools(ledger: Path) -> None:
    stage = asking()
    body = {"model": "demo-model", "messages": [{"role": "user", "content": "go"}]}
    async with desk(stage, ledger) as server:
        for _ in range(2):
            answer = await server.client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200
    assert done(ledger) == []  # not even where the model names one all the same
    first = stage.handlers["demo"].calls[0].request
    assert [tool.name for tool in first.tools] == ["free"]
    lines = [line for line in stage.lines() if "wait for approval" in line]
    assert [("tool=note" in line, "tool=slow" in line) for line in lines] == [(True, False), (False, True)]


# --- answering


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_is_run_first_and_the_turn_goes_on(ledger: Path, stream: bool) -> None:
    stage = asking()
    async with desk(stage, ledger, store=on_disk(ledger)) as server:
        first = await respond(server)
        given = [answer_to(request_in(first))]
        answer = await send(server, given, previous_response_id=first["id"], stream=stream)
        assert answer.status_code == 200
        if stream:
            assert violations(events_in(answer.content)) == []
        await respond(server, "and now?", previous_response_id=response_in(answer.content, stream)["id"])
    last = response_in(answer.content, stream)
    assert [item["type"] for item in last["output"]] == ["message"]
    assert done(ledger) == ["note milk"]
    assert told(stage, 1) == told(stage, 2) == ["done: note"]
    assert not any(result.is_error for result in results(stage, 1))


async def test_a_refused_call_is_not_run_and_the_model_is_told(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, ledger) as server:
        first = await respond(server)
        given = [answer_to(request_in(first), False, reason="no milk")]
        second = await respond(server, given, previous_response_id=first["id"])
        await respond(server, "and now?", previous_response_id=second["id"])
    assert done(ledger) == []
    assert told(stage, 1) == told(stage, 2) == [f"{NOT_APPROVED} The reason given: no milk"]
    assert all(result.is_error for result in results(stage))


async def test_a_client_that_goes_on_has_not_approved(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, ledger) as server:
        first = await respond(server)
        second = await respond(server, "never mind", previous_response_id=first["id"])
        late = [answer_to(request_in(first))]
        refused = await send(server, late, previous_response_id=second["id"])
    assert done(ledger) == []
    assert told(stage) == [NOT_APPROVED]
    assert refusal(refused) == EXPIRED


async def test_answers_can_stand_in_a_conversation(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, ledger) as server:
        conversation = (await server.client.post("/v1/conversations", json={})).json()["id"]
        request = request_in(await respond(server, conversation=conversation))
        listed = f"/v1/conversations/{conversation}/items?order=asc"
        before = (await server.client.get(listed)).json()["data"]
        assert before[-1] == request
        await respond(server, [answer_to(request)], conversation=conversation)
        after = (await server.client.get(listed)).json()["data"]
        again = await send(server, [answer_to(request)], conversation=conversation)
        await respond(server, "thanks", conversation=conversation)
    assert refusal(again) == ALREADY
    assert [item["type"] for item in after[len(before) :]] == [
        "mcp_approval_response",
        "function_call_output",
        "message",
    ]
    assert done(ledger) == ["note milk"]
    assert told(stage) == ["done: note"]


async def test_a_client_that_keeps_its_conversation_gives_the_request_back(ledger: Path) -> None:
    stage = asking(note("eggs", "free", "c0"), note())
    said = {"role": "user", "content": "go"}
    async with desk(stage, ledger) as server:
        first = await respond(server, [said], store=False)
        given = [said, *first["output"], answer_to(request_in(first))]
        second = await respond(server, given, store=False)
        assert done(ledger) == ["free eggs", "note milk"]
        again = await send(server, given, store=False)
        assert refusal(again) == ALREADY
        whole = [*given, *second["output"], {"role": "user", "content": "thanks"}]
        await respond(server, whole, store=False)
    assert told(stage, 1) == told(stage, 2) == ["done: free", "done: note"]
    assert done(ledger) == ["free eggs", "note milk"]


async def test_what_a_call_came_to_is_not_made_up_where_nobody_knows_it_any_more(ledger: Path) -> None:
    stage = asking()
    said = {"role": "user", "content": "go"}
    async with desk(stage, ledger, store=on_disk(ledger)) as server:
        first = await respond(server, [said], store=False)
        given = [said, *first["output"], answer_to(request_in(first))]
        second = await respond(server, given, store=False)
    stage = asking()
    async with desk(stage, ledger, store=on_disk(ledger)) as server:
        whole = [*given, *second["output"], {"role": "user", "content": "thanks"}]
        await respond(server, whole, store=False)
    assert told(stage) == [FORGOTTEN]
    assert done(ledger) == ["note milk"]


async def test_a_request_given_back_by_reference_is_the_request(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, ledger) as server:
        request = request_in(await respond(server))
        given = ["go", {"type": "item_reference", "id": request["id"]}, answer_to(request)]
        given[0] = {"role": "user", "content": "go"}
        await respond(server, given)
    assert done(ledger) == ["note milk"]
    assert told(stage) == ["done: note"]


async def test_in_the_background_a_call_is_asked_about_and_run_too(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await finished(server, await respond(server, background=True))
        request = request_in(first)
        given = [answer_to(request)]
        last = await finished(
            server, await respond(server, given, background=True, previous_response_id=first["id"])
        )
        again = await finished(
            server, await respond(server, given, background=True, previous_response_id=first["id"])
        )
    assert last["output"][-1]["content"][0]["text"] == "It is done."
    assert (again["status"], again["error"]["code"]) == ("failed", "invalid_prompt")
    assert "answered already" in again["error"]["message"]
    assert done(ledger) == ["note milk"]


@pytest.mark.parametrize("store", [False, True])
async def test_over_a_websocket_it_is_the_same(ledger: Path, store: bool) -> None:
    stage = asking()
    async with desk(stage, ledger) as server, connected(server.port) as client:
        await client.create("go", store=store)
        events = await client.turn()
        assert violations(stream_of(events)) == []
        first = events[-1]["response"]
        given = [answer_to(request_in(first))]
        await client.create(given, store=store, previous_response_id=first["id"])
        events = await client.turn()
        assert events[-1]["type"] == "response.completed"
        last = events[-1]["response"]
        await client.create("thanks", store=store, previous_response_id=last["id"])
        await client.turn()
    assert done(ledger) == ["note milk"]
    assert told(stage) == ["done: note"]


async def test_calls_of_different_turns_may_have_one_name(ledger: Path) -> None:
    stage = asking(note("a"), then=[[note("b")], [note("c", "free")], [Text(text="It is done.")]])
    async with desk(stage, ledger) as server:
        first = await respond(server)
        second = await respond(server, [answer_to(request_in(first))], previous_response_id=first["id"])
        third = await respond(server, [answer_to(request_in(second))], previous_response_id=second["id"])
    assert request_in(first)["id"] != request_in(second)["id"]
    assert third["output"][-1]["content"][0]["text"] == "It is done."
    assert done(ledger) == ["note a", "note b", "free c"]
    assert told(stage) == ["done: note", "done: note", "done: free"]


async def test_a_model_that_there_is_not_costs_no_approval(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await respond(server)
        given = [answer_to(request_in(first))]
        unknown = await send(server, given, previous_response_id=first["id"], model="none-such")
        assert unknown.status_code == 404
        assert done(ledger) == []
        await respond(server, given, previous_response_id=first["id"])
    assert done(ledger) == ["note milk"]
