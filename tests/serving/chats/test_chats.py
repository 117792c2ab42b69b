"""The chat front's routes, over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.chats import StreamEventProcessor
from callboard.chats.client import is_lost
from callboard.errors import UpstreamError
from callboard.providers.script import Text
from callboard.serving.key_desk import KeyOrder
from tests.chats.world import client_of
from tests.fakes.chatting import (
    frames,
    kinds,
    manager_of,
    messages,
    prompts,
    said,
    serving,
    title_of,
)
from tests.fakes.company import replies
from tests.fakes.keyed import bearer, make_key

pytestmark = pytest.mark.anyio


async def test_a_new_chat_streams_its_answer_and_is_there_afterwards() -> None:
    async with serving(replies([Text(text="Hello you")])) as (server, _):
        events = await said(server, "Grüße ␆␄", chat_name="My: chat")
        first, last = events[0], events[-1]
        thread = first["threadId"]
        assert first["messages"] == [{"role": "user", "text": "Grüße ␆␄"}]
        assert kinds(events) == [
            "message_list",
            "text_created",
            "text_delta",
            "text_delta",
            "text_done",
            "response_done",
        ]
        assert "".join(str(each.get("delta", "")) for each in events) == "Hello you"
        assert events[-2] == {"type": "text_done", "text": "Hello you", "response_id": last["response_id"]}
        assert await messages(server, thread) == [("user", "Grüße ␆␄"), ("assistant", "Hello you")]
        stored = await server.client.get(f"/v1/responses/{last['response_id']}")
        assert stored.json()["conversation"] == {"id": thread}
        listed = (await server.client.get("/get-all-conversations")).json()
        assert set(listed[thread]) == {"data", "chat_name", "last_update"}
        assert set(listed[thread]["data"]) == {"id", "created_at", "metadata", "object"}


async def test_a_chat_goes_on_and_others_do_not_mix_with_it() -> None:
    async with serving() as (server, stage):
        one = str((await said(server, "a1"))[0]["threadId"])
        two = str((await said(server, "b1"))[0]["threadId"])
        await said(server, "a2", one)
        await said(server, "a3", one)
        assert await messages(server, two) == [("user", "b1"), ("assistant", "echo: b1")]
        assert [text for _, text in prompts(stage.demo)[-1]] == ["a1", "echo: a1", "a2", "echo: a2", "a3"]
        found = await manager_of(server).get_conversation("local", one)
        assert found is not None
        ids = [each.response_id for each in found.messages]
        assert ids[::2] == [None, None, None]
        assert len(set(ids[1::2])) == 3
        assert found.last_response_id == ids[-1]


async def test_an_empty_input_and_an_id_that_is_none_are_refused_in_the_fronts_words() -> None:
    async with serving() as (server, stage):
        for body in ({}, {"user_input": ""}, {"user_input": "  \n"}, {"thread_id": "x", "user_input": None}):
            answer = await server.client.post("/chat", json=body)
            assert (answer.status_code, answer.json()) == (400, {"error": "No input provided"})
        answer = await server.client.post("/chat", json={"user_input": "hi", "thread_id": "nowhere"})
        assert (answer.status_code, answer.json()) == (404, {"error": "Conversation not found"})
        for target in ("/chat", "/chat?thread_id="):
            answer = await server.client.get(target)
            assert (answer.status_code, answer.json()) == (400, {"error": "No thread_id provided"})
        assert await messages(server, "nowhere") == []
        for content in (b"{", b'{"user_input": 7}'):
            answer = await server.client.post(
                "/chat", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400
        assert (await server.client.get("/get-all-conversations")).json() == {}
        assert stage.demo.requests == []


async def test_a_form_does_as_well_as_json() -> None:
    async with serving(replies([Text(text="x")])) as (server, _):
        answer = await server.client.post("/chat", data={"user_input": "a+b ü", "chat_name": "n"})
        events = frames(answer.content)
        assert events[0]["messages"] == [{"role": "user", "text": "a+b ü"}]
        thread = events[0]["threadId"]
        renamed = {"conversation_id": thread, "title": "New"}
        answer = await server.client.post("/update-conversation-title", data=renamed)
        assert answer.json()["conversations"][thread]["chat_name"] == "New"
        answer = await server.client.post("/chat", files={"user_input": b"x"})
        assert answer.status_code == 415


async def test_a_key_is_needed_once_there_is_one_and_users_do_not_see_each_other() -> None:
    async with serving() as (server, _):
        ada, bob = [
            bearer((await make_key(server.runtime, KeyOrder(name=name, tenant=name)))[0])
            for name in ("ada", "bob")
        ]
        await server.runtime.wiring.keys.refresh()
        closed = ("GET", "/get-all-conversations"), ("GET", "/chat?thread_id=x"), ("POST", "/chat")
        for method, path in closed:
            assert (await server.client.request(method, path)).status_code == 401
        answer = await server.client.post("/chat", json={"user_input": "mine"}, headers=ada)
        thread = frames(answer.content)[0]["threadId"]
        assert list((await server.client.get("/get-all-conversations", headers=ada)).json()) == [thread]
        assert (await server.client.get("/get-all-conversations", headers=bob)).json() == {}
        got = await server.client.get(f"/chat?thread_id={thread}", headers=bob)
        assert got.json() == {"threadId": thread, "messages": []}
        answer = await server.client.post(
            "/chat", json={"user_input": "his?", "thread_id": thread}, headers=bob
        )
        assert (answer.status_code, answer.json()) == (404, {"error": "Conversation not found"})
        title = {"conversation_id": thread, "title": "his"}
        answer = await server.client.post("/update-conversation-title", json=title, headers=bob)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/static/chats/local.json", "/chats/local.json", "/static/chats/../local.json", "/local.json"]
)
async def test_no_file_of_a_chat_can_be_fetched(path: str) -> None:
    async with serving() as (server, _):
        await said(server, "hi")
        assert (await server.client.get(path)).status_code == 404


async def test_a_request_that_is_sent_twice_is_answered_once() -> None:
    async with serving(replies([Text(text="x")])) as (server, stage):
        for form in (False, True):
            media = "application/x-www-form-urlencoded" if form else "application/json"
            headers = {"idempotency-key": f"k{form}", "content-type": media}
            body = b"user_input=hi" if form else b'{"user_input":"hi"}'
            first, again = [
                await server.client.post("/chat", content=body, headers=headers) for _ in range(2)
            ]
            assert first.content == again.content
            assert first.headers["content-type"] == again.headers["content-type"]
        assert len(stage.demo.requests) == 2
        assert len((await server.client.get("/get-all-conversations")).json()) == 2


async def test_the_latest_messages_of_a_long_chat_can_be_had_alone() -> None:
    async with serving() as (server, _):
        thread = str((await said(server, "a"))[0]["threadId"])
        await said(server, "b", thread)
        got = await server.client.get(f"/chat?thread_id={thread}&limit=2")
        assert [each["text"] for each in got.json()["messages"]] == ["b", "echo: b"]
        assert (await server.client.get(f"/chat?thread_id={thread}&limit=0")).status_code == 400


async def test_a_chat_outlives_its_server(tmp_path: Path) -> None:
    store = {"url": f"sqlite:///{tmp_path}/state.db"}
    async with serving(store=store) as (server, _):
        thread = str((await said(server, "a"))[0]["threadId"])
    async with serving(store=store) as (server, stage):
        await said(server, "b", thread)
        assert [text for _, text in prompts(stage.demo)[0]] == ["a", "echo: a", "b"]


async def test_our_own_client_and_our_own_server_understand_each_other() -> None:
    async with serving(replies([Text(text="Hello")], [Text(text="again")])) as (server, _):
        previous: str | None = None
        async with client_of(f"{server.url}/v1", model="demo-model") as client:
            for text in ("Hello", "again"):
                processor = StreamEventProcessor()
                async with client.create_response("hi", previous) as events:
                    async for event in events:
                        processor.feed(event)
                assert (processor.text, processor.answered) == (text, True)
                previous = processor.response_id
            with pytest.raises(UpstreamError) as raised:
                async with client.create_response("hi", "resp_gone"):
                    pass
            assert is_lost(raised.value)


async def test_without_a_configured_assistant_the_first_model_answers() -> None:
    async with serving(replies([Text(text="x")]), assistants={}) as (server, _):
        events = await said(server, "hi")
        assert events[-1]["type"] == "response_done"
        assert await title_of(server, events[0]["threadId"])
        events = await said(server, "hi", model="titles-model")
        assert events[-1]["type"] == "response_done"
        events = await said(server, "hi", model="no-model")
        assert events[-1]["error_code"] == "model_unavailable"


@pytest.mark.parametrize(
    "body, status", [(b"user_input=%ff", 400), (b"a=1&" * 101, 413), (b"user_input=\xff", 400)]
)
async def test_a_form_that_cannot_be_read_is_refused(body: bytes, status: int) -> None:
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    async with serving() as (server, _):
        answer = await server.client.post("/chat", content=body, headers=form)
        assert answer.status_code == status
