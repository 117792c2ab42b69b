"""Responses that stand in a conversation: what they go on from, and what they add to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import callboard
from callboard.actors.archivist import Commit
from callboard.domain.message import text_of
from callboard.providers.script import Cut, Hold, Reply, Script, Text, Thinking, Tool
from callboard.store import EndResponse
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served
from tests.oracles.responses_lifecycle import events_in
from tests.wire.openai_responses.official import check_response

pytestmark = pytest.mark.anyio

SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}
ROUNDS = replies(
    [
        Thinking(thinking="hm hm"),
        Text(text="Let me see."),
        Tool(name="add", id="c1", arguments={"a": 1, "b": 2}),
    ],
    [Text(text="It is 3.")],
)


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@asynccontextmanager
async def serving(script: Script, url: str = "memory:") -> AsyncIterator[tuple[Served, Stage]]:
    stage = Stage(demo=script)
    with anyio.fail_after(10):
        async with served(stage, tools=[add], config={"store": {"url": url}}) as server:
            yield server, stage


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is."""
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"


async def begun(server: Served, *items: object) -> str:
    answer = await server.client.post("/v1/conversations", json={"items": list(items)})
    return str(answer.json()["id"])


async def items_of(server: Served, conversation_id: str) -> list[Any]:
    answer = await server.client.get(f"/v1/conversations/{conversation_id}/items?order=asc&limit=100")
    return list(answer.json()["data"])


async def asked(server: Served, conversation: object, given: object = "hi", **more: object) -> Any:
    body = {"model": "demo-model", "input": given, "conversation": conversation, **more}
    answer = await server.client.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    if not more.get("stream"):
        response = answer.json()
        if response["status"] == "queued":
            await server.client.get(f"/v1/responses/{response['id']}?stream=true")
            response = (await server.client.get(f"/v1/responses/{response['id']}")).json()
        return response
    events = [event.data for event in events_in(answer.content) if event.data is not None]
    return events[-1]["response"]


def said(items: list[Any]) -> list[str]:
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


@pytest.mark.parametrize("how", [{}, {"stream": True}, {"background": True}, {"store": False}])
async def test_a_turn_adds_all_that_was_said_and_done_under_the_names_it_showed(
    how: dict[str, object], store: str
) -> None:
    async with serving(ROUNDS, store) as (server, _):
        conversation = await begun(server, {"role": "user", "content": "before"})
        response = await asked(server, {"id": conversation}, [{"role": "user", "content": "1+2?"}], **how)
        items = await items_of(server, conversation)
        if how != {"store": False}:
            path = f"/v1/responses/{response['id']}/input_items"
            given = (await server.client.get(path)).json()["data"]
            assert [item["id"] for item in given] == [items[1]["id"]]
    check_response(response)
    assert response["conversation"] == {"id": conversation}
    assert [item["type"] for item in items] == [
        "message",
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert said(items) == ["before", "1+2?", "Let me see.", "It is 3."]
    assert items[5]["output"] == "3.0"
    shown = {item["id"] for item in response["output"]}
    assert [item["id"] in shown for item in items] == [False, False, True, True, False, False, True]


async def test_a_turn_goes_on_from_what_stands_in_its_conversation(store: str) -> None:
    async with serving(Script(), store) as (server, stage):
        conversation = await begun(
            server, {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "one"}
        )
        first = await asked(server, conversation, "two", instructions="Be kind.")
        late = [{"role": "system", "content": "Be quick."}, {"role": "user", "content": "three"}]
        await server.client.post(f"/v1/conversations/{conversation}/items", json={"items": late})
        items = await items_of(server, conversation)
        gone = next(item["id"] for item in items if item["id"] == first["output"][0]["id"])
        await server.client.delete(f"/v1/conversations/{conversation}/items/{gone}")
        await asked(server, conversation, [{"role": "developer", "content": "Be good."}])
    calls = [call.request for call in stage.handlers["demo"].calls]
    assert [block.text for block in calls[0].system] == ["Be brief.", "Be kind."]
    assert [text_of(message.content) for message in calls[0].messages] == ["onetwo"]
    assert [block.text for block in calls[1].system] == ["Be brief.", "Be quick.", "Be good."]
    assert [text_of(message.content) for message in calls[1].messages] == ["onetwothree"]


async def test_a_long_conversation_is_read_to_its_end() -> None:
    async with serving(Script()) as (server, stage):
        conversation = await begun(server)
        for first in range(0, 520, 20):
            items = [{"role": "user", "content": f"{number} "} for number in range(first, first + 20)]
            await server.client.post(f"/v1/conversations/{conversation}/items", json={"items": items})
        await asked(server, conversation, "end")
    sent = stage.handlers["demo"].calls[0].request.messages
    assert text_of(sent[0].content) == "".join(f"{number} " for number in range(520)) + "end"


async def test_a_call_that_the_client_answers_is_answered_in_the_next_turn() -> None:
    script = replies(
        [Tool(name="add", id="ours", arguments={"a": 1, "b": 2}), Tool(name="shell", id="theirs")],
        [Text(text="done")],
    )
    async with serving(script) as (server, stage):
        conversation = await begun(server)
        await asked(server, conversation, tools=[SHELL])
        output = [{"type": "function_call_output", "call_id": "theirs", "output": "ok"}]
        await asked(server, conversation, output, tools=[SHELL])
        items = await items_of(server, conversation)
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [len(message.content) for message in sent] == [1, 2, 2]
    kinds = [item["type"] for item in items]
    assert kinds == ["message", *["function_call"] * 2, *["function_call_output"] * 2, "message"]


async def test_what_others_append_meanwhile_stays_and_the_turn_goes_behind_it(store: str) -> None:
    script = Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="late"))),) * 2)
    async with serving(script, store) as (server, stage):
        conversation = await begun(server)

        async def ask(text: str) -> None:
            await asked(server, conversation, text)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "a")
            tasks.start_soon(ask, "b")
            while len(stage.handlers["demo"].calls) < 2:
                await anyio.lowlevel.checkpoint()
            added = {"items": [{"role": "user", "content": "meanwhile"}]}
            await server.client.post(f"/v1/conversations/{conversation}/items", json=added)
            stage.handlers["demo"].gates["g"].opened.set()
        items = await items_of(server, conversation)
    texts = said(items)
    assert texts[0] == "meanwhile"
    assert sorted([texts[1:3], texts[3:5]]) == [["a", "late"], ["b", "late"]]
    assert len({item["id"] for item in items}) == 5


async def test_a_turn_outlives_its_conversation() -> None:
    async with serving(Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="late"))),))) as (
        server,
        stage,
    ):
        conversation = await begun(server)
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await asked(server, conversation))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not stage.handlers["demo"].calls:
                await anyio.lowlevel.checkpoint()
            await server.client.delete(f"/v1/conversations/{conversation}")
            stage.handlers["demo"].gates["g"].opened.set()
        again = await server.client.get(f"/v1/responses/{answers[0]['id']}")
    assert answers[0]["output"][0]["content"][0]["text"] == "late"
    assert again.json() == answers[0]


async def test_a_turn_that_breaks_off_or_is_cancelled_adds_nothing() -> None:
    script = replies([Text(text="a b c"), Cut()], [Text(text="a"), Hold(gate="g")], [Text(text="end")])
    async with serving(script) as (server, stage):
        conversation = await begun(server)
        broken = await asked(server, conversation, stream=True)
        body = {"model": "demo-model", "input": "hi", "conversation": conversation, "background": True}
        second = (await server.client.post("/v1/responses", json=body)).json()["id"]
        while not stage.handlers["demo"].open_answers:
            await anyio.lowlevel.checkpoint()
        await server.client.post(f"/v1/responses/{second}/cancel")
        assert broken["status"] == "failed"
        assert await items_of(server, conversation) == []
        await asked(server, conversation, "last")
        assert said(await items_of(server, conversation)) == ["last", "end"]


async def test_a_turn_whose_end_somebody_else_has_written_adds_nothing(store: str) -> None:
    script = replies([Hold(gate="g"), Text(text="late")])
    async with serving(script, store) as (server, stage):
        conversation = await begun(server)
        body = {"model": "demo-model", "input": "hi", "conversation": conversation, "background": True}
        response_id = (await server.client.post("/v1/responses", json=body)).json()["id"]
        while not stage.handlers["demo"].open_answers:
            await anyio.lowlevel.checkpoint()
        record = await server.runtime.wiring.store.response("local", response_id)
        assert record is not None
        end = EndResponse(
            response_id=response_id,
            expected_version=record.version,
            segment=None,
            status="completed",
            produced=(),
            finished_at_s=1,
        )
        await server.runtime.archivist.ask(Commit(changes=(end,)))
        stage.handlers["demo"].gates["g"].opened.set()
        while not any("route=background" in line for line in stage.lines()):
            await anyio.lowlevel.checkpoint()
        assert await items_of(server, conversation) == []


async def test_a_turn_in_the_background_adds_its_items_though_its_process_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    first = replies(
        [Text(text="One."), Tool(name="add", id="c1", arguments={"a": 1, "b": 2})],
        [Text(text="Lost. "), Hold(gate="never"), Text(text="x")],
    )
    async with serving(first, url) as (server, _):
        conversation = await begun(server)
        body = {"model": "demo-model", "input": "hi", "conversation": conversation, "background": True}
        response_id = (await server.client.post("/v1/responses", json=body)).json()["id"]
        store = server.runtime.wiring.store
        while not any(b"Lost" in segment.payload for segment in await store.segments(response_id)):
            await anyio.lowlevel.checkpoint()
    async with serving(replies([Text(text="Two.")]), url) as (server, _):
        await server.client.get(f"/v1/responses/{response_id}?stream=true")
        response = (await server.client.get(f"/v1/responses/{response_id}")).json()
        items = await items_of(server, conversation)
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete", "completed"]
    assert said(items) == ["hi", "One.", "Two."]
    names = [item["id"] for item in items if item["type"] == "message"]
    assert names[1:] == [response["output"][0]["id"], response["output"][2]["id"]]


async def test_a_conversation_that_is_not_there_is_told_of_before_anything_is_done() -> None:
    async with serving(Script()) as (server, stage):
        body = {"model": "demo-model", "input": "hi", "conversation": "conv_none"}
        for more in ({}, {"stream": True}, {"background": True}):
            answer = await server.client.post("/v1/responses", json={**body, **more})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        conversation = await begun(server)
        both = {**body, "conversation": conversation, "previous_response_id": "resp_1"}
        answer = await server.client.post("/v1/responses", json=both)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "conversation")
    assert not stage.handlers["demo"].calls


async def test_items_that_are_kept_are_referred_to() -> None:
    async with serving(Script()) as (server, stage):
        first = (
            await server.client.post("/v1/responses", json={"model": "demo-model", "input": "one"})
        ).json()
        path = f"/v1/responses/{first['id']}/input_items"
        given = (await server.client.get(path)).json()["first_id"]
        names = [given, first["output"][0]["id"]]
        conversation = await begun(server, {"role": "user", "content": "two"})
        names.append((await items_of(server, conversation))[0]["id"])
        refers = [{"type": "item_reference", "id": name} for name in names]
        whole = await server.client.post("/v1/responses", json={"model": "demo-model", "input": refers})
        for unknown in ("msg_none_0", "rs_theirs", names[0] + "0"):
            lost = await server.client.post(
                "/v1/responses",
                json={"model": "demo-model", "input": [{"type": "item_reference", "id": unknown}]},
            )
            assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")
            assert unknown in lost.json()["error"]["message"]
    assert whole.status_code == 200
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [text_of(message.content) for message in sent] == ["one", "echo: one", "two"]
