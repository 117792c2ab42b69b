"""Titles of chats: given by users, found beside the answer, and never waited for."""

from __future__ import annotations

import anyio
import pytest

from callboard.providers.script import AnyStep, Fail, Hold, Text
from tests.fakes.chatting import (
    prompts,
    said,
    serving,
    title_of,
)
from tests.fakes.company import replies

pytestmark = pytest.mark.anyio


async def test_a_title_is_given_and_a_wrong_one_is_not() -> None:
    async with serving() as (server, _):
        thread = (await said(server, "hi"))[0]["threadId"]
        path = "/update-conversation-title"
        answer = await server.client.post(path, json={"conversation_id": thread, "title": "x" * 40})
        body = answer.json()
        assert (answer.status_code, body["success"]) == (200, True)
        assert body["message"] == "Title updated successfully"
        assert body["conversations"][thread]["chat_name"] == "x" * 27 + "..."
        answer = await server.client.post(path, json={"conversation_id": thread})
        assert (answer.status_code, answer.json()) == (400, {"error": "Missing conversation_id or title"})
        answer = await server.client.post(path, json={"conversation_id": "nowhere", "title": "x"})
        assert answer.status_code == 400
        assert answer.json() == {"success": False, "error": "Failed to update conversation title"}


@pytest.mark.parametrize(
    "answer, title",
    [
        ([Text(text='"A very long title for this short chat"')], "A very long title for this ..."),
        ([Text(text="Chat")], "Chat - "),
        ([Fail(error="upstream_authentication")], "Chat - "),
        ([Text(text="word " * 60), Hold(gate="never")], "word word word word word wo..."),
    ],
)
async def test_a_new_chat_gets_a_title_or_is_called_after_the_hour(answer: list[AnyStep], title: str) -> None:
    async with serving(replies([Text(text="x")]), replies(answer)) as (server, stage):
        thread = (await said(server, "How high is it?"))[0]["threadId"]
        assert (await title_of(server, thread)).startswith(title)
        ((_, prompt),) = prompts(stage.titles)[0]
        assert "How high is it?" in prompt
        assert stage.titles.requests[0].tools == ()
        await said(server, "and now?", str(thread))
        assert len(stage.titles.requests) == 1


async def test_an_answer_does_not_wait_for_its_title() -> None:
    async with serving(replies([Text(text="x")]), replies([Hold(gate="slow"), Text(text="Mountains")])) as (
        server,
        stage,
    ):
        events = await said(server, "hi")
        assert events[-1]["type"] == "response_done"
        listed = (await server.client.get("/get-all-conversations")).json()
        assert listed[events[0]["threadId"]]["chat_name"] == "New Chat"
        stage.titles.gates["slow"].opened.set()
        assert await title_of(server, events[0]["threadId"]) == "Mountains"


async def test_a_title_that_comes_late_leaves_the_users_own_alone() -> None:
    async with serving(replies([Text(text="x")]), replies([Hold(gate="slow"), Text(text="Mountains")])) as (
        server,
        stage,
    ):
        thread = (await said(server, "hi"))[0]["threadId"]
        mine = {"conversation_id": thread, "title": "Mine"}
        await server.client.post("/update-conversation-title", json=mine)
        stage.titles.gates["slow"].opened.set()
        while not any("chat_title" in line for line in stage.lines()):
            await anyio.lowlevel.checkpoint()
        await said(server, "again", str(thread))
        assert await title_of(server, thread) == "Mine"
