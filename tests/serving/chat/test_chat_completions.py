"""POST /v1/chat/completions through the real server, over a scripted model."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

import callboard
from callboard.domain.message import text_of, tool_results, tool_uses
from callboard.providers.script import AnyStep, Cut, Fail, Hold, Pause, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def body(text: str = "hi", **more: object) -> dict[str, object]:
    return {"model": "demo-model", "messages": [{"role": "user", "content": text}], **more}


SHELL = {
    "type": "function",
    "function": {"name": "shell", "description": "", "parameters": {"type": "object", "properties": {}}},
}


def events_of(text: str) -> list[Any]:
    """The decoded data of a stream that ends as it should."""
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]


async def test_an_answer_in_one_piece() -> None:
    async with served(Stage(demo=replies([Text(text="Paris.")]))) as server:
        answer = await server.client.post("/v1/chat/completions", json=body())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert said["object"] == "chat.completion"
    message = said["choices"][0]["message"]
    assert (message["role"], message["content"], message["refusal"]) == ("assistant", "Paris.", None)
    assert said["choices"][0]["finish_reason"] == "stop"
    assert (
        said["usage"]["total_tokens"] == said["usage"]["prompt_tokens"] + said["usage"]["completion_tokens"]
    )


async def test_a_streamed_answer_costs_one_generation_and_ends_with_done() -> None:
    stage = Stage(demo=replies([Text(text="It is Paris.")]))
    async with served(stage) as server:
        answer = await server.client.post(
            "/v1/chat/completions", json=body(stream=True, stream_options={"include_usage": True})
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = events_of(answer.text)
    assert "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
    ) == ("It is Paris.")
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert len(stage.handlers["demo"].calls) == 1


async def test_an_upstream_is_asked_to_stream_only_where_the_client_is_shown_a_stream() -> None:
    call = Tool(name="add", id="c1", arguments={"a": 1, "b": 2})
    stage = Stage(demo=replies([call], [Text(text="3")], [call], [Text(text="3")]))
    async with served(stage, tools=[add]) as server:
        for stream in (False, True):
            answer = await server.client.post("/v1/chat/completions", json=body(stream=stream))
            assert answer.status_code == 200
    assert [each.stream for each in stage.handlers["demo"].calls] == [False, False, True, True]


async def test_deltas_are_passed_on_as_they_come() -> None:
    stage = Stage(demo=replies([Text(text="first "), Hold(gate="g"), Text(text="second")]))
    gate = stage.handlers["demo"].gates["g"]
    async with (
        served(stage) as server,
        server.client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        seen = ""
        with anyio.fail_after(5):
            async for piece in answer.aiter_text():
                seen += piece
                if "first" in seen and not gate.opened.is_set():
                    assert "second" not in seen
                    gate.opened.set()
    assert "second" in seen


async def test_a_tool_of_ours_runs_and_its_round_is_hidden() -> None:
    stage = Stage(
        demo=replies([Tool(name="add", id="c1", arguments={"a": 1, "b": 2})], [Text(text="It is 3.")])
    )
    async with served(stage, tools=[add]) as server:
        answer = await server.client.post("/v1/chat/completions", json=body())
        streamed = await server.client.post("/v1/chat/completions", json=body(stream=True))
    message = answer.json()["choices"][0]["message"]
    assert (message["content"], "tool_calls" in message) == ("It is 3.", False)
    assert '"add"' not in streamed.text  # an id may happen to hold the bare word


async def test_the_rounds_of_an_answer_are_limited_as_the_operator_says() -> None:
    call = Tool(name="add", id="c1", arguments={"a": 1, "b": 2})
    stage = Stage(demo=Script(replies=replies([call]).replies, then="repeat"))
    async with served(stage, tools=[add], config={"server": {"max_rounds": 2}}) as server:
        answer = await server.client.post("/v1/chat/completions", json=body())
    assert answer.json()["choices"][0]["finish_reason"] == "length"
    # Two rounds with tools, and the last word without.
    assert len(stage.handlers["demo"].calls) == 3


async def test_a_tool_of_the_clients_goes_back_to_it() -> None:
    stage = Stage(demo=replies([Tool(name="shell", id="c1", arguments={"x": 1})]))
    async with served(stage, tools=[add]) as server:
        answer = await server.client.post("/v1/chat/completions", json=body(tools=[SHELL]))
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"x":1}'}}
    ]


async def test_of_a_mixed_answer_ours_run_and_come_back_into_the_history() -> None:
    stage = Stage(
        demo=replies(
            [Tool(name="add", id="ours", arguments={"a": 1, "b": 2}), Tool(name="shell", id="theirs")],
            [Text(text="done")],
        )
    )
    async with served(stage, tools=[add]) as server:
        first = await server.client.post("/v1/chat/completions", json=body(tools=[SHELL]))
        shown = first.json()["choices"][0]["message"]
        assert [call["id"] for call in shown["tool_calls"]] == ["theirs"]
        messages = [
            {"role": "user", "content": "hi"},
            shown,
            {"role": "tool", "tool_call_id": "theirs", "content": "listing"},
        ]
        second = await server.client.post(
            "/v1/chat/completions", json={"model": "demo-model", "messages": messages, "tools": [SHELL]}
        )
    assert second.json()["choices"][0]["message"]["content"] == "done"
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [call.id for call in tool_uses(sent[1])] == ["ours", "theirs"]
    assert {each.tool_use_id: text_of(each.content) for each in tool_results(sent[2])} == {
        "ours": "3.0",
        "theirs": "listing",
    }


@pytest.mark.parametrize(
    "raw, status, param",
    [
        (b"{", 400, None),
        (b'{"model": "demo-model"}', 400, "messages"),
        (b'{"model": "demo-model", "messages": [{"role": "user", "content": NaN}]}', 400, None),
        (b'{"model": "demo-model", "model": "x", "messages": []}', 400, None),
        (b'{"model": "demo-model", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, None),
        (b'{"model": "nothing", "messages": [{"role": "user", "content": "hi"}]}', 404, None),
        (b"[" * 100_000, 400, None),
    ],
)
async def test_bad_input_gets_the_dialects_own_error(raw: bytes, status: int, param: str | None) -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.post(
            "/v1/chat/completions", content=raw, headers={"content-type": "application/json"}
        )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    if param is not None:
        assert error["param"] == param
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "fail, status",
    [
        (Fail(error="upstream_rate_limited", status=429, retry_after_s=120), 429),
        (Fail(error="upstream_invalid_request", status=400), 400),
        (Fail(error="upstream_authentication", status=401), 502),
        (Fail(error="upstream_quota", status=429), 429),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_failure_before_the_first_byte_has_a_true_status(
    fail: Fail, status: int, stream: bool
) -> None:
    async with served(Stage(demo=replies([fail]))) as server:
        answer = await server.client.post("/v1/chat/completions", json=body(stream=stream))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert ("retry-after" in answer.headers) == (fail.retry_after_s is not None)


async def test_a_stream_cut_in_the_middle_ends_with_an_error_and_no_finish_reason() -> None:
    async with served(Stage(demo=replies([Text(text="half"), Cut()]))) as server:
        answer = await server.client.post("/v1/chat/completions", json=body(stream=True))
    assert answer.status_code == 200
    data = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
    assert data[-1]["error"]["code"] == "stream_incomplete"
    assert all(choice["finish_reason"] is None for chunk in data[:-1] for choice in chunk["choices"])
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_closes_the_upstream(stream: bool) -> None:
    steps: list[AnyStep] = [Hold(gate="g"), Text(text="b")]
    if stream:
        steps.insert(0, Text(text="a "))
    stage = Stage(demo=replies(steps))
    handler = stage.handlers["demo"]
    async with served(stage) as server:
        raw = json.dumps(body(stream=stream)).encode()
        connection = await anyio.connect_tcp("127.0.0.1", server.port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n"
        await connection.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + raw)
        with anyio.fail_after(5):
            await handler.gates["g"].reached.wait()
            assert handler.open_answers == 1
            await connection.aclose()
            accounts = await server.runtime.accounts()
            while accounts.tokens.open:
                await anyio.lowlevel.checkpoint()
                accounts = await server.runtime.accounts()
        assert handler.open_answers == 0
        assert [line.outcome for line in accounts.recent] == ["cancelled"]
        with anyio.fail_after(5):
            while server.admission.in_work:
                await anyio.lowlevel.checkpoint()
    assert any("status=499" in line and "error_type=cancelled" in line for line in stage.lines())


async def test_keep_alive_comments_fill_a_pause_and_nothing_else() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    gate = stage.handlers["demo"].gates["g"]
    config = {"server": {"heartbeat_seconds": 0.02}}
    seen = ""
    async with (
        served(stage, config=config) as server,
        server.client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        with anyio.fail_after(5):
            async for piece in answer.aiter_text():
                seen += piece
                if seen.count(": keep-alive\n\n") >= 3:
                    gate.opened.set()
    assert [chunk["choices"][0]["delta"].get("content") for chunk in events_of(seen)][1:3] == ["a ", "b"]


async def test_no_comment_comes_while_the_stream_is_busy() -> None:
    stage = Stage(demo=replies([Text(text="a b c d e f")]))
    async with served(stage) as server:
        answer = await server.client.post("/v1/chat/completions", json=body(stream=True))
    assert "keep-alive" not in answer.text


async def test_beyond_its_places_and_its_queue_the_server_refuses_at_once() -> None:
    stage = Stage(demo=Script(replies=replies([Hold(gate="g")]).replies, then="repeat"))
    gate = stage.handlers["demo"].gates["g"]
    config = {"server": {"max_concurrency": 1, "queue": 1}}
    statuses: list[int] = []
    async with served(stage, config=config) as server, anyio.create_task_group() as tasks:

        async def ask() -> None:
            answer = await server.client.post("/v1/chat/completions", json=body())
            statuses.append(answer.status_code)

        with anyio.fail_after(5):
            tasks.start_soon(ask)
            await gate.reached.wait()
            tasks.start_soon(ask)
            while server.admission.in_work < 2:
                await anyio.lowlevel.checkpoint()
            refused = await server.client.post("/v1/chat/completions", json=body())
            gate.opened.set()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert statuses == [200, 200]


async def test_the_time_split_of_the_closing_line_adds_up() -> None:
    stage = Stage(demo=replies([Pause(seconds=0.01), Text(text="a"), Pause(seconds=0.01), Text(text="b")]))
    async with served(stage) as server:
        await server.client.post("/v1/chat/completions", json=body(stream=True))
        with anyio.fail_after(5):
            while not any("request closed" in line for line in stage.lines()):
                await anyio.lowlevel.checkpoint()
    line = next(line for line in stage.lines() if "request closed" in line)
    fields = dict(
        part.split("=", 1) for part in line.split() if part.endswith(tuple("0123456789")) and "_ms=" in part
    )
    parts = sum(float(fields[name]) for name in ("queue_ms", "own_ms", "upstream_ttfb_ms", "upstream_ms"))
    assert parts == pytest.approx(float(fields["wall_ms"]), abs=0.002)
    assert float(fields["upstream_ttfb_ms"]) >= 9
    assert float(fields["upstream_ms"]) >= 9
