"""Requests with an Idempotency-Key through the real server, in memory and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

import callboard
from callboard.actors.archivist import Commit
from callboard.providers.script import Cut, Fail, Hold, Reply, Script, Text
from callboard.serving.copied import LARGEST
from callboard.serving.idempotency import ABANDONED_S
from callboard.store import ForgetReply, RememberReply, StoredReply
from tests.fakes.company import Stage, replies
from tests.fakes.openai_traffic import chat, chat_stream
from tests.fakes.relayed import chat_body, relayed
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

CHAT, RESPONSES, CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@asynccontextmanager
async def serving(script: Script, url: str = "memory:") -> AsyncIterator[tuple[Served, Stage]]:
    stage = Stage(demo=script)
    with anyio.fail_after(15):
        async with served(stage, tools=[add], config={"store": {"url": url}}) as server:
            yield server, stage


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is."""
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"


def body_for(path: str, text: str = "hi", /, **more: object) -> dict[str, object]:
    if path == CONVERSATIONS:
        return {"items": [{"role": "user", "content": text}], **more}
    if path == CHAT:
        return {"model": "demo-model", "messages": [{"role": "user", "content": text}], **more}
    return {"model": "demo-model", "input": text, **more}


async def ask(
    server: Served, path: str, key: str = "k", text: str = "hi", /, **more: object
) -> httpx2.Response:
    headers = {"idempotency-key": key}
    return await server.client.post(path, json=body_for(path, text, **more), headers=headers)


def under_way(request_hash: bytes, since_s: int) -> StoredReply:
    return StoredReply(tenant="local", key="k", request_hash=request_hash, created_at_s=since_s)


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    error: Any = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (status, "invalid_request_error", code)


@pytest.mark.parametrize(
    "path, more",
    [
        (CONVERSATIONS, {}),
        (CHAT, {}),
        (CHAT, {"stream": True}),
        (RESPONSES, {}),
        (RESPONSES, {"stream": True}),
        (RESPONSES, {"store": False}),
        (RESPONSES, {"store": False, "stream": True}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"background": True, "stream": True}),
    ],
)
async def test_a_request_that_is_sent_again_is_answered_as_it_was(
    path: str, more: dict[str, object], store: str
) -> None:
    async with serving(Script(), store) as (server, stage):
        first = await ask(server, path, **more)
        again = await ask(server, path, **more)
        other = await ask(server, path, "k2", **more)
        reused = await ask(server, path, "k", "other", **more)
    assert first.status_code == again.status_code == other.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert other.content != first.content
    refused(reused, 422, "idempotency_key_reused")
    assert len(stage.handlers["demo"].calls) == (0 if path == CONVERSATIONS else 2)


async def test_what_was_answered_is_answered_again_by_the_next_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    kinds: list[tuple[str, dict[str, object]]] = [
        (CHAT, {}),
        (RESPONSES, {"stream": True}),
        (CONVERSATIONS, {}),
    ]
    async with serving(Script(), url) as (server, _):
        first = [await ask(server, path, path, **more) for path, more in kinds]
    async with serving(Script(), url) as (server, stage):
        again = [await ask(server, path, path, **more) for path, more in kinds]
    assert [each.content for each in again] == [each.content for each in first]
    assert not stage.handlers["demo"].calls


@pytest.mark.parametrize("path, more", [(CHAT, {}), (RESPONSES, {}), (RESPONSES, {"stream": True})])
async def test_of_many_at_once_one_is_carried_out(path: str, more: dict[str, object], store: str) -> None:
    script = Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="once"))),))
    answers: list[httpx2.Response] = []
    async with serving(script, store) as (server, stage):

        async def send() -> None:
            answers.append(await ask(server, path, **more))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(send)
            while len(answers) < 49:
                await anyio.lowlevel.checkpoint()
            stage.handlers["demo"].gates["g"].opened.set()
        again = await ask(server, path, **more)
    assert len(stage.handlers["demo"].calls) == 1
    for early in answers[:49]:
        refused(early, 409, "conflict")
        assert early.headers["retry-after"] == "1"
    assert answers[49].status_code == 200
    assert again.content == answers[49].content


@pytest.mark.parametrize("error, status", [("upstream_quota", 429), ("upstream_authentication", 502)])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_what_failed_is_tried_again(path: str, error: str, status: int) -> None:
    async with serving(replies([Fail(error=error)], [Text(text="well")])) as (server, _):
        failed = await ask(server, path)
        again = await ask(server, path)
    assert failed.status_code == status
    assert (again.status_code, "well" in again.text) == (200, True)


async def test_what_was_refused_is_looked_at_again() -> None:
    async with serving(Script()) as (server, _):
        refusals = [await ask(server, RESPONSES, temperature=9) for _ in range(2)]
        well = await ask(server, RESPONSES)
    assert [answer.status_code for answer in refusals] == [400, 400]
    assert well.status_code == 200


async def test_a_stream_that_broke_off_is_tried_again() -> None:
    script = replies([Text(text="a b"), Cut()], [Text(text="whole")])
    async with serving(script) as (server, _):
        broken = await ask(server, RESPONSES, stream=True)
        again = await ask(server, RESPONSES, stream=True)
    assert "response.failed" in broken.text
    assert "response.completed" in again.text


async def test_a_client_who_leaves_frees_his_key_but_not_that_of_work_in_the_background(store: str) -> None:
    script = Script(replies=(Reply(steps=(Text(text="a "), Hold(gate="g"), Text(text="b"))),) * 3)
    async with serving(script, store) as (server, stage):
        for key, more in (("left", {}), ("goes on", {"background": True})):
            async with server.client.stream(
                "POST",
                RESPONSES,
                json=body_for(RESPONSES, stream=True, **more),
                headers={"idempotency-key": key},
            ) as answer:
                async for piece in answer.aiter_text():
                    if '"delta":"a ' in piece:
                        break
        while stage.handlers["demo"].open_answers > 1:
            await anyio.lowlevel.checkpoint()
        stage.handlers["demo"].gates["g"].opened.set()
        while await server.runtime.wiring.store.reply("local", "left") is not None:
            await anyio.lowlevel.checkpoint()
        goes_on = await ask(server, RESPONSES, "goes on", stream=True, background=True)
        assert len(stage.handlers["demo"].calls) == 2
        anew = await ask(server, RESPONSES, "left", stream=True)
        assert len(stage.handlers["demo"].calls) == 3
    for answer in (goes_on, anew):
        assert "response.completed" in answer.text


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_where_an_answer_cannot_be_kept_the_client_learns_why_he_has_none(
    path: str, tmp_path: Path
) -> None:
    script = Script(replies=(Reply(steps=(Hold(gate="g"), Text(text="a"))),))
    answers: list[httpx2.Response] = []
    async with serving(script, f"sqlite:///{tmp_path}/state.db") as (server, stage):

        async def wait_for_answer() -> None:
            answers.append(await ask(server, path, store=False))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_answer)
            gate = stage.handlers["demo"].gates["g"]
            await gate.reached.wait()
            await server.runtime.wiring.store.aclose()
            gate.opened.set()
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "The store is closed.")


async def test_a_response_that_is_deleted_takes_its_key_along() -> None:
    async with serving(Script()) as (server, stage):
        first = (await ask(server, RESPONSES)).json()["id"]
        await server.client.delete(f"{RESPONSES}/{first}")
        second = await ask(server, RESPONSES)
    assert second.json()["id"] != first
    assert len(stage.handlers["demo"].calls) == 2


async def test_a_large_answer_is_read_from_its_log_or_not_given_again() -> None:
    large = Script(replies=(Reply(steps=(Text(text="x" * LARGEST),)),), then="repeat")
    async with serving(large) as (server, stage):
        for path, more in ((RESPONSES, {}), (RESPONSES, {"stream": True})):
            first = await ask(server, path, f"{more}", **more)
            again = await ask(server, path, f"{more}", **more)
            assert again.content == first.content
        unkept = await ask(server, CHAT, "chat")
        again = await ask(server, CHAT, "chat")
    assert (unkept.status_code, len(unkept.content) > LARGEST) == (200, True)
    refused(again, 409, "conflict")
    assert len(stage.handlers["demo"].calls) == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_only_passed_on_is_kept_too(stream: bool) -> None:
    async with relayed() as over:
        over.upstream.fallback = lambda _: chat_stream("a", "b") if stream else chat("Hello you")
        headers = {"idempotency-key": "k"}
        first = await over.server.client.post(CHAT, json=chat_body(stream=stream), headers=headers)
        again = await over.server.client.post(CHAT, json=chat_body(stream=stream), headers=headers)
    assert first.status_code == 200
    assert again.content == first.content
    assert len(over.upstream.exchanges) == 1


async def test_a_key_whose_process_was_lost_is_free_again_after_a_while() -> None:
    async with serving(Script()) as (server, stage):
        await ask(server, CHAT)
        kept = await server.runtime.wiring.store.reply("local", "k")
        assert kept is not None
        lost = under_way(kept.request_hash, kept.created_at_s)
        free = ForgetReply(tenant="local", key="k")
        await server.runtime.archivist.ask(Commit(changes=(free, RememberReply(reply=lost))))
        refused(await ask(server, CHAT), 409, "conflict")
        old = under_way(kept.request_hash, kept.created_at_s - ABANDONED_S - 1)
        await server.runtime.archivist.ask(Commit(changes=(free, RememberReply(reply=old))))
        assert (await ask(server, CHAT)).status_code == 200
    assert len(stage.handlers["demo"].calls) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    async with serving(Script()) as (server, stage):
        answer = await ask(server, CHAT, key)
    refused(answer, 400, "invalid_value")
    assert not stage.handlers["demo"].calls


async def test_a_guest_in_another_server_keeps_the_promise_too() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(10):
        async with served(stage, carrier="uvicorn") as server:
            for path, stream in ((CHAT, True), (RESPONSES, False)):
                answers = [await ask(server, path, path, stream=stream) for _ in range(2)]
                assert answers[0].status_code == 200
                assert answers[0].content == answers[1].content
    assert len(stage.handlers["demo"].calls) == 2


async def test_one_key_on_two_routes_is_two_requests() -> None:
    async with serving(Script()) as (server, _):
        await ask(server, CHAT)
        refused(await ask(server, CONVERSATIONS), 422, "idempotency_key_reused")
