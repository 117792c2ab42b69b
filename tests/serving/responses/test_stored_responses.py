"""Responses that are kept: read again, followed, cancelled, deleted, continued."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

import callboard
from callboard.actors.recorder import LONGEST_SEGMENT
from callboard.providers.script import Cut, Hold, Reply, Script, Text, Thinking, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served
from tests.oracles.responses_lifecycle import Data, events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

pytestmark = pytest.mark.anyio


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


ROUNDS = replies(
    [
        Thinking(thinking="hm hm"),
        Text(text="Let me see."),
        Tool(name="add", id="c1", arguments={"a": 1, "b": 2}),
    ],
    [Text(text="It is 3. So it is.")],
)


def body(given: object = "hi", **more: object) -> dict[str, object]:
    return {"model": "demo-model", "input": given, **more}


def data_of(stream: str) -> list[Data]:
    """The data of a stream's events, all checked."""
    events = events_in(stream.encode())
    assert violations(events) == []
    data = [event.data for event in events if event.data is not None]
    for each in data:
        check_event(each)
    return data


@asynccontextmanager
async def served_from(folder: Path, script: Script) -> AsyncIterator[Served]:
    """A server whose store outlives it."""
    config = {"store": {"url": f"sqlite:///{folder}/state.db"}}
    with anyio.fail_after(10):
        async with served(Stage(demo=script), tools=[add], config=config) as server:
            yield server


async def ended(server: Served, response_id: str) -> Any:
    """The response, once it has ended."""
    answer = await server.client.get(f"/v1/responses/{response_id}?stream=true")
    assert answer.status_code == 200
    return (await server.client.get(f"/v1/responses/{response_id}")).json()


def missing(answer: httpx2.Response) -> None:
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_response_is_read_again_byte_for_byte(tmp_path: Path) -> None:
    script = Script(replies=ROUNDS.replies, then="repeat")
    async with served_from(tmp_path, script) as server:
        whole = await server.client.post("/v1/responses", json=body())
        streamed = await server.client.post("/v1/responses", json=body(stream=True))
        again = await server.client.get(f"/v1/responses/{whole.json()['id']}")
        last = data_of(streamed.text)[-1]["response"]
        stream_again = await server.client.get(f"/v1/responses/{last['id']}?stream=true")
        last_again = await server.client.get(f"/v1/responses/{last['id']}")
    check_response(again.json())
    assert again.json()["store"] is True
    assert again.content == whole.content
    assert stream_again.content == streamed.content
    assert last_again.json() == last
    # …and by the next process too.
    async with served_from(tmp_path, Script()) as server:
        assert (await server.client.get(f"/v1/responses/{whole.json()['id']}")).content == whole.content
        after = await server.client.get(f"/v1/responses/{last['id']}?stream=true")
        assert after.content == streamed.content


async def test_a_stream_is_picked_up_behind_any_event() -> None:
    async with served(Stage(demo=ROUNDS), tools=[add]) as server:
        streamed = await server.client.post("/v1/responses", json=body(stream=True))
        data = data_of(streamed.text)
        path = f"/v1/responses/{data[-1]['response']['id']}?stream=true"
        for number in range(len(data)):
            rest = await server.client.get(f"{path}&starting_after={number}")
            assert streamed.text.endswith(rest.text)
            found = [event.data for event in events_in(rest.text.encode()) if event.data is not None]
            assert found == data[number + 1 :]
        wrong = await server.client.get(f"{path}&starting_after=x")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "starting_after")


async def test_a_long_response_is_kept_in_pieces_that_are_read_in_a_moment() -> None:
    words = " ".join(f"w{number}" for number in range(3 * LONGEST_SEGMENT))
    with anyio.fail_after(20):
        async with served(Stage(demo=replies([Text(text=words)]))) as server:
            streamed = await server.client.post("/v1/responses", json=body(stream=True))
            last = data_of(streamed.text)[-1]["response"]
            segments = await server.runtime.wiring.store.segments(last["id"])
            again = await server.client.get(f"/v1/responses/{last['id']}?stream=true")
    assert last["output"][0]["content"][0]["text"] == words
    assert again.content == streamed.content
    counts = [segment.count for segment in segments]
    assert counts[1:-1] == [LONGEST_SEGMENT] * 3  # behind the beginning, which was kept before it was shown
    assert [segment.first for segment in segments] == [sum(counts[:place]) for place in range(len(counts))]


async def test_a_response_is_followed_by_the_next_one_with_its_own_instructions() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server:
        first = (await server.client.post("/v1/responses", json=body("one", instructions="A"))).json()
        for instructions in ("B", None):
            more = {"previous_response_id": first["id"], "instructions": instructions}
            second = await server.client.post("/v1/responses", json=body("two", **more))
            assert second.json()["previous_response_id"] == first["id"]
        unkept = (await server.client.post("/v1/responses", json=body("three", store=False))).json()
        missing(await server.client.get(f"/v1/responses/{unkept['id']}"))
        lost = await server.client.post("/v1/responses", json=body(previous_response_id=unkept["id"]))
    assert unkept["store"] is False
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "previous_response_not_found")
    calls = [call.request for call in stage.handlers["demo"].calls]
    assert [[block.text for block in call.system] for call in calls[:3]] == [["A"], ["B"], []]
    assert calls[1].messages == calls[2].messages
    assert len(calls[1].messages) == 3


async def test_a_clients_tool_result_finds_its_call_in_what_is_kept() -> None:
    shell = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}
    stage = Stage(
        demo=replies(
            [Tool(name="add", id="ours", arguments={"a": 1, "b": 2}), Tool(name="shell", id="theirs")],
            [Text(text="done")],
        )
    )
    async with served(stage, tools=[add]) as server:
        first = (await server.client.post("/v1/responses", json=body(tools=[shell]))).json()
        output = [{"type": "function_call_output", "call_id": "theirs", "output": "ok"}]
        more = {"previous_response_id": first["id"], "tools": [shell]}
        second = (await server.client.post("/v1/responses", json=body(output, **more))).json()
    assert [item["name"] for item in first["output"]] == ["shell"]
    assert second["output"][0]["content"][0]["text"] == "done"
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [type(block).__name__ for block in sent[-1].content] == ["ToolResultBlock"] * 2


async def test_what_is_deleted_is_gone_and_what_was_built_on_it_stands() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server:
        first = (await server.client.post("/v1/responses", json=body("one"))).json()["id"]
        second = (
            await server.client.post("/v1/responses", json=body("two", previous_response_id=first))
        ).json()["id"]
        gone = await server.client.delete(f"/v1/responses/{first}")
        missing(await server.client.get(f"/v1/responses/{first}"))
        missing(await server.client.get(f"/v1/responses/{first}?stream=true"))
        missing(await server.client.get(f"/v1/responses/{first}/input_items"))
        missing(await server.client.post(f"/v1/responses/{first}/cancel"))
        missing(await server.client.delete(f"/v1/responses/{first}"))
        lost = await server.client.post("/v1/responses", json=body(previous_response_id=first))
        third = await server.client.post("/v1/responses", json=body("three", previous_response_id=second))
    assert gone.json() == {"id": first, "object": "response", "deleted": True}
    assert lost.json()["error"]["code"] == "previous_response_not_found"
    assert third.status_code == 200
    assert len(stage.handlers["demo"].calls[-1].request.messages) == 5


async def test_a_response_in_the_background_is_queued_and_comes_to_its_end() -> None:
    async with served(Stage(demo=ROUNDS), tools=[add]) as server:
        begun = await server.client.post("/v1/responses", json=body(background=True))
        assert (begun.status_code, begun.json()["status"]) == (200, "queued")
        assert begun.json()["background"] is True
        check_response(begun.json())
        response = await ended(server, begun.json()["id"])
        unkept = await server.client.post("/v1/responses", json=body(background=True, store=False))
        unknown = await server.client.post("/v1/responses", json={**body(background=True), "model": "no"})
    check_response(response)
    assert response["status"] == "completed"
    assert response["output"][-1]["content"][0]["text"] == "It is 3. So it is."
    assert (unkept.status_code, unkept.json()["error"]["param"]) == (400, "background")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_reader_who_loses_a_background_stream_picks_it_up_where_he_lost_it() -> None:
    script = replies([Text(text="a b c "), Hold(gate="g"), Text(text="d e f")])
    stage = Stage(demo=script)
    gate = stage.handlers["demo"].gates["g"]
    seen = ""
    with anyio.fail_after(10):
        async with served(stage) as server:
            async with server.client.stream(
                "POST", "/v1/responses", json=body(stream=True, background=True)
            ) as answer:
                async for piece in answer.aiter_text():
                    seen += piece
                    if '"delta":"c ' in seen:
                        break
            whole = seen[: seen.rindex("\n\n") + 2]
            last = [event.data for event in events_in(whole.encode()) if event.data is not None][-1]
            response_id = json.loads(whole.split("data: ")[1].split("\n")[0])["response"]["id"]
            still = (await server.client.get(f"/v1/responses/{response_id}")).json()
            assert still["status"] == "in_progress"
            path = f"/v1/responses/{response_id}?stream=true&starting_after={last['sequence_number']}"
            async with server.client.stream("GET", path) as answer:
                gate.opened.set()
                rest = "".join([piece async for piece in answer.aiter_text()])
    data = data_of(whole + rest)
    assert data[-1]["response"]["output"][0]["content"][0]["text"] == "a b c d e f"
    assert len(stage.handlers["demo"].calls) == 1


async def test_a_background_response_goes_on_in_the_next_process_and_so_does_its_stream(
    tmp_path: Path,
) -> None:
    first = replies([Tool(name="add", id="c1", arguments={"a": 1, "b": 2})], [Hold(gate="never")])
    async with served_from(tmp_path, first) as server:
        begun = (await server.client.post("/v1/responses", json=body(background=True))).json()["id"]
        store = server.runtime.wiring.store
        while not any(b"ToolFinished" in segment.payload for segment in await store.segments(begun)):
            await anyio.lowlevel.checkpoint()
    async with served_from(tmp_path, replies([Text(text="It is 3.")])) as server:
        stream = await server.client.get(f"/v1/responses/{begun}?stream=true")
        response = await ended(server, begun)
    data = data_of(stream.text)
    assert data[-1]["response"] == response
    assert response["status"] == "completed"


async def test_a_background_response_is_cancelled_and_its_stream_ends() -> None:
    stage = Stage(demo=replies([Text(text="a b "), Hold(gate="g"), Text(text="c")], [Text(text="next")]))
    with anyio.fail_after(10):
        async with served(stage) as server:
            begun = (await server.client.post("/v1/responses", json=body(background=True))).json()["id"]
            seen = ""
            async with server.client.stream("GET", f"/v1/responses/{begun}?stream=true") as answer:
                async for piece in answer.aiter_text():
                    seen += piece
                    if '"delta":"b ' in piece:
                        cancelled = await server.client.post(f"/v1/responses/{begun}/cancel")
            again = await server.client.post(f"/v1/responses/{begun}/cancel")
            while stage.handlers["demo"].open_answers:
                await anyio.lowlevel.checkpoint()
            following = await server.client.post("/v1/responses", json=body("on", previous_response_id=begun))
            foreground = following.json()["id"]
            refused = await server.client.post(f"/v1/responses/{foreground}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert again.content == cancelled.content
    last = [event.data for event in events_in(seen.encode()) if event.data is not None][-1]
    assert (last["type"], last["response"]) == ("response.incomplete", cancelled.json())
    assert following.status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_cancellable")


async def test_a_client_that_leaves_ends_its_response_and_can_read_how_far_it_came() -> None:
    stage = Stage(demo=replies([Text(text="a b "), Hold(gate="g"), Text(text="c")]))
    seen = ""
    with anyio.fail_after(10):
        async with served(stage) as server:
            async with server.client.stream("POST", "/v1/responses", json=body(stream=True)) as answer:
                async for piece in answer.aiter_text():
                    seen += piece
                    if '"delta":"b ' in seen:
                        break
            response_id = json.loads(seen.split("data: ")[1].split("\n")[0])["response"]["id"]
            response = await ended(server, response_id)
    assert response["status"] == "cancelled"


async def test_a_response_that_fails_in_its_midst_is_kept_as_failed() -> None:
    async with served(Stage(demo=replies([Text(text="a b"), Cut()]))) as server:
        streamed = await server.client.post("/v1/responses", json=body(stream=True))
        last = data_of(streamed.text)[-1]
        assert last["type"] == "response.failed"
        again = await server.client.get(f"/v1/responses/{last['response']['id']}?stream=true")
        response = await server.client.get(f"/v1/responses/{last['response']['id']}")
    assert again.content == streamed.content
    assert response.json() == last["response"]


async def test_the_input_of_a_response_is_listed_in_pages() -> None:
    given = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://x.example/a.png"},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "nothing"},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": "So?"},
    ]
    async with served(Stage(demo=Script())) as server:
        response_id = (await server.client.post("/v1/responses", json=body(given))).json()["id"]
        path = f"/v1/responses/{response_id}/input_items"
        page = (await server.client.get(f"{path}?order=asc")).json()
        newest = (await server.client.get(f"{path}?limit=2")).json()
        older = (await server.client.get(f"{path}?limit=2&after={newest['last_id']}")).json()
        between = (
            await server.client.get(f"{path}?order=asc&after={page['first_id']}&before={page['last_id']}")
        ).json()
        wrong = [await server.client.get(f"{path}?{query}") for query in ("order=up", "limit=0", "limit=x")]
        missing(await server.client.get(f"{path}?after=msg_none"))
    kinds = [item["type"] for item in page["data"]]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message"]
    assert page["data"][0]["content"][1]["image_url"] == "https://x.example/a.png"
    assert page["data"][1]["arguments"] == '{"a":1}'
    assert len({item["id"] for item in page["data"]}) == 5
    assert [page["first_id"], page["last_id"], page["has_more"]] == [
        page["data"][0]["id"],
        page["data"][4]["id"],
        False,
    ]
    assert newest["data"] == page["data"][:2:-1]
    assert newest["has_more"] is True
    assert older["data"] == page["data"][2:0:-1]
    assert between["data"] == page["data"][1:4]
    assert [answer.status_code for answer in wrong] == [400] * 3


async def test_two_who_follow_one_response_see_the_same() -> None:
    stage = Stage(demo=Script(replies=(Reply(steps=(Text(text="a "), Hold(gate="g"), Text(text="b"))),)))
    seen: list[str] = []
    with anyio.fail_after(10):
        async with served(stage) as server:
            begun = (await server.client.post("/v1/responses", json=body(background=True))).json()["id"]

            async def follow(reading: anyio.Event) -> None:
                async with server.client.stream("GET", f"/v1/responses/{begun}?stream=true") as answer:
                    pieces = []
                    async for piece in answer.aiter_text():
                        reading.set()
                        pieces.append(piece)
                    seen.append("".join(pieces))

            readers = [anyio.Event() for _ in range(3)]
            async with anyio.create_task_group() as tasks:
                for reading in readers:
                    tasks.start_soon(follow, reading)
                for reading in readers:
                    await reading.wait()
                stage.handlers["demo"].gates["g"].opened.set()
    assert len(seen) == 3
    assert len(set(seen)) == 1
    data_of(seen[0])
