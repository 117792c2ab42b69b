"""The chat front's stream: what is shown, what goes wrong, who leaves, and many at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import anyio
import httpx2
import pytest

from callboard.chats import FrameParser
from callboard.chats.frames import SEPARATOR
from callboard.providers.script import AnyStep, Cut, Fail, Hold, Reply, Script, Text, Thinking, Tool
from tests.fakes.chatting import (
    frames,
    kinds,
    manager_of,
    messages,
    prompts,
    said,
    serving,
)
from tests.fakes.company import replies
from tests.fakes.openai_traffic import Gate, chat_stream, failure
from tests.fakes.relayed import Caller, chat_request, relayed
from tests.fakes.served import Carrier

pytestmark = pytest.mark.anyio
BAD_GATEWAY = Fail(error="upstream_server_error", message="secret", status=502, retry_after_s=3600)


async def test_the_message_list_is_encoded_twice_and_the_rest_once() -> None:
    async with serving(replies([Text(text="x")])) as (server, _):
        answer = await server.client.post("/chat", json={"user_input": "hi"})
        first, second, *_ = answer.content.split(SEPARATOR)
        assert json.loads(json.loads(first))["type"] == "message_list"
        assert json.loads(second) == {"type": "text_created", "text": ""}


@pytest.mark.parametrize(
    "steps, code",
    [
        ([Fail(error="upstream_rate_limited", message="secret words", retry_after_s=3600)], "rate_limit"),
        ([Fail(error="upstream_quota", message="secret words")], "quota_exceeded"),
        ([Fail(error="upstream_authentication", message="secret words")], "authentication_error"),
        ([Fail(error="upstream_invalid_request", message="secret words")], "invalid_request"),
        ([BAD_GATEWAY], "gateway_error"),
        ([Fail(error="upstream_timeout", message="secret words", retry_after_s=3600)], "timeout_error"),
        ([], "empty_response"),
        ([Text(text="one two "), Cut()], "connection_error"),
        ([Text(text="one two "), Fail(error="upstream_server_error", message="secret words")], "api_error"),
    ],
)
async def test_what_goes_wrong_is_told_in_words_for_a_user_and_the_chat_goes_on(
    steps: list[AnyStep], code: str
) -> None:
    async with serving(replies(steps)) as (server, _):
        events = await said(server, "a")
        assert events[-1]["error_code"] == code
        assert set(events[-1]) == {"type", "message", "error_code", "user_action"}
        assert "secret" not in str(events)
        thread = str(events[0]["threadId"])
        partial = [("assistant", "one two ")] if len(steps) == 2 else []
        assert await messages(server, thread) == [("user", "a"), *partial]
        found = await manager_of(server).get_conversation("local", thread)
        assert found is not None
        assert [each.incomplete for each in found.messages[1:]] == [True] * len(partial)


async def test_what_the_model_is_told_after_a_failure_is_what_the_user_sees() -> None:
    script = replies([Text(text="one two "), Cut()], [Text(text="three")])
    async with serving(script) as (server, stage):
        thread = str((await said(server, "a"))[0]["threadId"])
        events = await said(server, "b", thread)
        assert events[-1]["type"] == "response_done"
        before = [("user", "a"), ("assistant", "one two "), ("user", "b")]
        assert prompts(stage.demo)[1] == before
        assert await messages(server, thread) == [*before, ("assistant", "three")]


@pytest.mark.parametrize("carrier", ["own", "uvicorn"])
async def test_a_client_that_leaves_ends_the_answer_and_what_came_of_it_stays(carrier: Carrier) -> None:
    async with relayed(carrier=carrier) as here:
        gate = Gate()
        here.upstream.queue(chat_stream("one ", gate, "two"))
        with anyio.fail_after(10):
            with Caller(here.server.port) as caller:
                caller.send(chat_request({"user_input": "a"}, target="/chat"))
                await caller.see(b"text_delta")
                caller.leave()
                await (await here.upstream.exchange(0)).peer_left.wait()
            await here.left_line("asked")
            (thread,) = (await here.server.client.get("/get-all-conversations")).json()
            assert await messages(here.server, thread) == [("user", "a"), ("assistant", "one ")]
            gate.opened.set()


async def test_tools_and_thoughts_show_and_texts_around_them_are_one_message() -> None:
    script = replies(
        [
            Thinking(thinking="hm hm"),
            Text(text="Let me see. "),
            Tool(name="add", id="c1", arguments={"a": 1, "b": 2}),
        ],
        [Text(text="It is 3.")],
    )
    async with serving(script) as (server, _):
        events = await said(server, "1+2?")
        seen = [each for each in dict.fromkeys(kinds(events)) if each != "text_delta"]
        assert seen == [
            "message_list",
            "text_created",
            "reasoning_started",
            "reasoning_in_progress",
            "reasoning_completed",
            "text_done",
            "tool_call_started",
            "tool_call_completed",
            "response_done",
        ]
        (done,) = [each for each in events if each["type"] == "tool_call_completed"]
        assert (done["item_id"], done["tool_name"], done["success"]) == ("c1", "add", True)
        assert await messages(server, events[0]["threadId"]) == [
            ("user", "1+2?"),
            ("assistant", "Let me see. It is 3."),
        ]


async def test_fifty_chats_stream_at_the_same_time() -> None:
    steps = (Text(text="one "), Hold(gate="all"), Text(text="two"))
    script = Script(replies=(Reply(steps=steps),), then="repeat")
    async with serving(script, server={"max_concurrency": 64}) as (server, stage):
        begun = anyio.Event()
        waiting, ended = 50, 0

        async def one(number: int) -> None:
            nonlocal waiting, ended
            parser = FrameParser()
            seen: list[Mapping[str, object]] = []
            asked = {"user_input": f"chat {number}"}
            async with client.stream("POST", "/chat", json=asked) as answer:
                async for piece in answer.aiter_raw():
                    before = len(seen)
                    seen += parser.feed(piece)
                    told = [each["type"] for each in seen]
                    if "text_delta" in told and "text_delta" not in told[:before]:
                        waiting -= 1
                        if not waiting:
                            begun.set()
            assert seen[0]["messages"] == [{"role": "user", "text": f"chat {number}"}]
            assert seen[-1]["type"] == "response_done"
            ended += 1

        limits = httpx2.Limits(max_connections=60)
        async with (
            httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=10, limits=limits) as client,
            anyio.create_task_group() as tasks,
        ):
            for number in range(50):
                tasks.start_soon(one, number)
            await begun.wait()
            assert ended == 0
            stage.demo.gates["all"].opened.set()
        assert ended == 50
        assert len((await server.client.get("/get-all-conversations")).json()) == 50


async def test_no_key_is_in_any_log_or_answer_and_usage_and_time_are_logged() -> None:
    canary = "sk-canary-0123456789abcdef"
    provider = {"kind": "openai", "api_key": canary}
    async with relayed() as plain:
        provider["base_url"] = plain.upstream.base_url
        config = {
            "providers": {"up": provider},
            "models": {"demo-model": {"provider": "up"}},
            "assistants": {"default": {"model": "demo-model"}},
        }
        async with relayed(config=config) as here:
            plain.upstream.queue(
                failure(401, message=f"Incorrect API key provided: {canary}"), chat_stream("fine")
            )
            told = [await here.server.client.post("/chat", json={"user_input": f"{n}"}) for n in range(2)]
            assert frames(told[0].content)[-1]["error_code"] == "authentication_error"
            assert frames(told[1].content)[-1]["type"] == "response_done"
            used = await plain.upstream.exchange(0)
            assert used.header("authorization") == f"Bearer {canary}"
            with anyio.fail_after(5):
                while len(closed := [each for each in here.stage.lines() if "route=/chat " in each]) < 2:
                    await anyio.lowlevel.checkpoint()
            assert canary not in "\n".join(here.stage.lines()) + told[0].text + told[1].text
            assert re.search(r"error_type=upstream_authentication", closed[0])
            assert re.search(r"tokens_in=\d+ tokens_out=\d+", closed[1])
            assert re.search(r"upstream_ms=\d", closed[1])


async def test_a_silent_stream_shows_signs_of_life_that_no_page_trips_over() -> None:
    script = replies([Hold(gate="slow"), Text(text="x")])
    async with serving(script, server={"heartbeat_seconds": 0.01}) as (server, stage):
        seen = b""
        async with server.client.stream("POST", "/chat", json={"user_input": "hi"}) as answer:
            async for piece in answer.aiter_raw():
                seen += piece
                if seen.endswith(b"\n\n"):
                    stage.demo.gates["slow"].opened.set()
        assert frames(seen)[-1]["type"] == "response_done"
