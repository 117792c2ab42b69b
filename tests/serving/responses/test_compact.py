"""POST /v1/responses/compact and /v1/responses/input_tokens through the real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from openai.types.responses import CompactedResponse, InputTokenCountResponse

import callboard
from callboard.domain.message import text_of
from callboard.providers.script import Reply, Script, Text
from callboard.wire.openai_responses.compaction import FOREWORD, REQUEST
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[tuple[Served, Stage]]:
    stage = Stage(demo=script)
    with anyio.fail_after(10):
        async with served(stage, tools=[add]) as server:
            yield server, stage


def check(kind: Any, shown: Any) -> None:
    kind.model_validate_json(json.dumps(shown), strict=True)


async def test_a_conversation_is_made_short_and_goes_on_from_its_summary() -> None:
    given = [
        {"role": "user", "content": "I am Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "Bye."},
    ]
    tools = [{"type": "function", "name": "shell"}]
    body = {"model": "demo-model", "input": given, "instructions": "Be kind.", "tools": tools}
    async with serving(replies([Text(text=" She is Ada.\n")], [Text(text="Ada.")])) as (server, stage):
        answer = await server.client.post("/v1/responses/compact", json=body)
        window = [*answer.json()["output"], {"role": "user", "content": "Who am I?"}]
        again = await server.client.post("/v1/responses", json={"model": "demo-model", "input": window})
        lost = await server.client.get(f"/v1/responses/{answer.json()['id']}")
    compacted = answer.json()
    check(CompactedResponse, compacted)
    assert (answer.status_code, compacted["object"]) == (200, "response.compaction")
    assert [item["type"] for item in compacted["output"]] == ["compaction"]
    assert compacted["usage"]["total_tokens"] > 0
    assert again.json()["output"][0]["content"][0]["text"] == "Ada."
    assert lost.status_code == 404
    first, second = [call.request for call in stage.handlers["demo"].calls]
    assert [block.text for block in first.system] == ["Be kind."]
    assert text_of(first.messages[-1].content) == f"Bye.{REQUEST}"
    assert first.tools == ()
    assert text_of(second.messages[0].content) == f"{FOREWORD}She is Ada.Who am I?"


async def test_what_a_response_came_to_is_made_short_too() -> None:
    async with serving(Script()) as (server, stage):
        first = (
            await server.client.post("/v1/responses", json={"model": "demo-model", "input": "one"})
        ).json()
        body = {"model": "demo-model", "previous_response_id": first["id"]}
        assert (await server.client.post("/v1/responses/compact", json=body)).status_code == 200
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [text_of(message.content) for message in sent] == ["one", "echo: one", REQUEST]


@pytest.mark.parametrize(
    "body, status, param",
    [
        ({"input": "hi"}, 400, "model"),
        ({"model": "demo-model"}, 400, "input"),
        ({"model": "nothing", "input": "hi"}, 404, "model"),
        ({"model": "demo-model", "previous_response_id": "resp_no"}, 404, "previous_response_id"),
    ],
)
async def test_what_cannot_be_made_short_is_refused(body: dict[str, object], status: int, param: str) -> None:
    async with serving(Script()) as (server, stage):
        answer = await server.client.post("/v1/responses/compact", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert not stage.handlers["demo"].calls


@pytest.mark.parametrize(
    "reply",
    [Reply(steps=(Text(text=" "),)), Reply(steps=(Text(text="half of it"),), stop_reason="max_tokens")],
)
async def test_half_a_summary_is_none(reply: Reply) -> None:
    async with serving(Script(replies=(reply,))) as (server, _):
        answer = await server.client.post(
            "/v1/responses/compact", json={"model": "demo-model", "input": "hi"}
        )
    assert answer.status_code == 502


async def test_a_request_is_measured_with_all_that_it_makes_the_model_read() -> None:
    async with serving(Script()) as (server, stage):

        async def measured(**body: object) -> int:
            answer = await server.client.post("/v1/responses/input_tokens", json=body)
            assert answer.status_code == 200
            check(InputTokenCountResponse, answer.json())
            return int(answer.json()["input_tokens"])

        first = (
            await server.client.post("/v1/responses", json={"model": "demo-model", "input": "x" * 400})
        ).json()
        begun = await server.client.post(
            "/v1/conversations", json={"items": [{"role": "developer", "content": "y" * 800}]}
        )
        plain = await measured(model="demo-model", input="z" * 40)
        assert await measured() == 0
        assert await measured(input="z" * 40) == plain
        assert await measured(input="z" * 40, instructions="i" * 40) == plain + 10
        assert await measured(input="z" * 40, previous_response_id=first["id"]) >= plain + 200
        assert await measured(input="z" * 40, conversation=begun.json()["id"]) == plain + 200
        tool = {"type": "function", "name": "f", "description": "d" * 400}
        assert await measured(input="z" * 40, tools=[tool]) > plain + 100
        for body in ({"conversation": "conv_no"}, {"previous_response_id": "resp_no"}):
            assert (await server.client.post("/v1/responses/input_tokens", json=body)).status_code == 404
    assert len(stage.handlers["demo"].calls) == 1
