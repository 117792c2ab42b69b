"""POST /v1/responses through the real server, over a scripted model."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

import callboard
from callboard.domain.block import TextBlock
from callboard.domain.message import text_of, tool_results, tool_uses, user_text
from callboard.providers.script import AnyStep, Cut, Fail, Hold, Reply, Script, Text, Thinking, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import served
from tests.oracles.responses_lifecycle import Data, events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

pytestmark = pytest.mark.anyio

PATHS = ["/v1/responses", "/responses"]
SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def body(given: object = "hi", **more: object) -> dict[str, object]:
    return {"model": "demo-model", "input": given, **more}


def data_of(stream: str) -> list[Data]:
    """The data of a stream's events, all checked."""
    events = events_in(stream.encode())
    assert violations(events) == []
    data = [event.data for event in events if event.data is not None]
    for each in data:
        check_event(each)
    assert events[-1].data is None
    return data


def without_names(response: Any) -> Any:
    """A response without what differs from one to the next."""
    text = json.dumps({**response, "created_at": 0, "completed_at": 0})
    return json.loads(text.replace(response["id"].removeprefix("resp_"), ""))


async def test_both_paths_answer_alike_streamed_and_not() -> None:
    steps = (Thinking(thinking="hm"), Text(text="It is Paris."))
    stage = Stage(demo=Script(replies=(Reply(steps=steps),), then="repeat"))
    responses: list[Any] = []
    async with served(stage) as server:
        for path in PATHS:
            whole = await server.client.post(path, json=body())
            assert (whole.status_code, whole.headers["content-type"]) == (200, "application/json")
            streamed = await server.client.post(path, json=body(stream=True))
            assert streamed.headers["content-type"].startswith("text/event-stream")
            responses += [whole.json(), data_of(streamed.text)[-1]["response"]]
    check_response(responses[0])
    assert [item["type"] for item in responses[0]["output"]] == ["reasoning", "message"]
    assert responses[0]["output"][1]["content"][0]["text"] == "It is Paris."
    assert len({response["id"] for response in responses}) == 4
    assert all(without_names(each) == without_names(responses[0]) for each in responses)
    assert len(stage.handlers["demo"].calls) == 4
    closed = [line for line in stage.lines() if "request closed" in line]
    assert ["stream=true" in line for line in closed] == [False, True] * 2
    assert all(
        f"route={path}" in line for line, path in zip(closed, [*PATHS[:1] * 2, *PATHS[1:] * 2], strict=True)
    )


async def test_a_string_is_one_message_of_the_users() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server:
        answer = await server.client.post("/responses", json=body("What is it?", instructions="Be brief."))
    assert answer.json()["output"][0]["content"][0]["text"] == "echo: What is it?"
    request = stage.handlers["demo"].calls[0].request
    assert request.messages == (user_text("What is it?"),)
    assert request.system == (TextBlock(text="Be brief."),)


async def test_what_is_not_to_be_kept_is_not_and_nothing_else_is_claimed() -> None:
    async with served(Stage(demo=Script())) as server:
        unkept = await server.client.post("/v1/responses", json=body(store=False))
        gone = await server.client.post("/v1/responses", json=body(previous_response_id=unkept.json()["id"]))
    assert unkept.json()["store"] is False
    assert gone.status_code == 404
    error = gone.json()["error"]
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert error["type"] == "invalid_request_error"


async def test_deltas_are_passed_on_as_they_come() -> None:
    stage = Stage(demo=replies([Text(text="first "), Hold(gate="g"), Text(text="second")]))
    gate = stage.handlers["demo"].gates["g"]
    seen = ""
    async with (
        served(stage) as server,
        server.client.stream("POST", "/v1/responses", json=body(stream=True)) as answer,
    ):
        with anyio.fail_after(5):
            async for piece in answer.aiter_text():
                seen += piece
                if "first" in seen and not gate.opened.is_set():
                    assert "second" not in seen
                    gate.opened.set()
    assert data_of(seen)[-1]["response"]["output"][0]["content"][0]["text"] == "first second"


async def test_a_tool_of_ours_runs_within_the_one_response() -> None:
    rounds: list[list[AnyStep]] = [
        [Text(text="Let me see."), Tool(name="add", id="c1", arguments={"a": 1, "b": 2})],
        [Text(text="It is 3.")],
    ]
    stage = Stage(demo=Script(replies=replies(*rounds).replies, then="repeat"))
    async with served(stage, tools=[add]) as server:
        whole = await server.client.post("/v1/responses", json=body())
        streamed = await server.client.post("/v1/responses", json=body(stream=True))
    data = data_of(streamed.text)
    for response in (whole.json(), data[-1]["response"]):
        assert [item["content"][0]["text"] for item in response["output"]] == ["Let me see.", "It is 3."]
    sent = stage.handlers["demo"].calls[1].request.messages
    assert text_of(tool_results(sent[-1])[0].content) == "3.0"


async def test_a_tool_of_the_clients_goes_back_to_it_and_its_result_is_understood() -> None:
    stage = Stage(
        demo=replies(
            [
                Tool(name="add", id="ours", arguments={"a": 1, "b": 2}),
                Tool(name="shell", id="theirs", arguments={"x": 1}),
            ],
            [Text(text="done")],
        )
    )
    async with served(stage, tools=[add]) as server:
        first = await server.client.post("/v1/responses", json=body(tools=[SHELL], stream=True))
        shown = data_of(first.text)[-1]["response"]
        assert shown["status"] == "completed"
        assert [item["type"] for item in shown["output"]] == ["function_call"]
        call = shown["output"][0]
        assert (call["call_id"], call["name"], call["arguments"]) == ("theirs", "shell", '{"x":1}')
        output = {"type": "function_call_output", "call_id": "theirs", "output": "listing"}
        given = [{"role": "user", "content": "hi"}, *shown["output"], output]
        second = await server.client.post("/v1/responses", json=body(given, tools=[SHELL]))
    assert second.json()["output"][0]["content"][0]["text"] == "done"
    sent = stage.handlers["demo"].calls[1].request.messages
    assert [each.id for each in tool_uses(sent[1])] == ["ours", "theirs"]
    results = {each.tool_use_id: text_of(each.content) for each in tool_results(sent[2])}
    assert results == {"ours": "3.0", "theirs": "listing"}


async def test_an_answer_that_hits_the_limit_is_incomplete() -> None:
    script = Script(replies=(Reply(steps=(Text(text="It is"),), stop_reason="max_tokens"),), then="repeat")
    async with served(Stage(demo=script)) as server:
        whole = await server.client.post("/v1/responses", json=body(max_output_tokens=2))
        streamed = await server.client.post("/v1/responses", json=body(max_output_tokens=2, stream=True))
    last = data_of(streamed.text)[-1]
    assert last["type"] == "response.incomplete"
    assert whole.json()["incomplete_details"] == {"reason": "max_output_tokens"}
    assert without_names(whole.json()) == without_names({**last["response"]})


async def test_what_only_other_servers_know_does_no_harm() -> None:
    """As a well-known coding agent sends it."""
    tools = [
        SHELL,
        {"type": "web_search"},
        {"type": "namespace", "name": "n", "description": "d", "tools": []},
    ]
    given = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be kind"}]},
        {"type": "ghost_snapshot", "ghost_commit": {}},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    asked = body(
        given,
        tools=tools,
        tool_choice="auto",
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        client_metadata={"a": "b"},
        prompt_cache_key="k",
        text={"verbosity": "low"},
    )
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.post("/v1/responses", json=asked)
    response = data_of(answer.text)[-1]["response"]
    assert response["output"][0]["content"][0]["text"] == "echo: hi"
    assert [tool["type"] for tool in response["tools"]] == ["function", "web_search", "namespace"]


@pytest.mark.parametrize(
    "raw, status, param, code",
    [
        (b"{", 400, None, "invalid_json"),
        (b'{"model": "demo-model"}', 400, "input", "missing_required_parameter"),
        (
            b'{"model": "demo-model", "input": "hi", "background": true, "store": false}',
            400,
            "background",
            "unsupported_value",
        ),
        (b'{"model": "demo-model", "input": [{"role": "user"}]}', 400, "input[0].content", "invalid_type"),
        (b'{"model": "nothing", "input": "hi"}', 404, "model", "model_not_found"),
        (b'{"model": "demo-model", "input": "hi", "conversation": "c"}', 404, None, "not_found"),
        (b"[" * 100_000, 400, None, "json_too_deep"),
        (b"{%s}" % b",".join(b'"%d":1' % n for n in range(5_001)), 400, None, "json_too_many_keys"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_bad_input_gets_the_dialects_own_error(
    path: str, raw: bytes, status: int, param: str | None, code: str
) -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


@pytest.mark.parametrize(
    "fail, status",
    [
        (Fail(error="upstream_rate_limited", status=429, retry_after_s=120), 429),
        (Fail(error="upstream_invalid_request", status=400), 400),
        (Fail(error="upstream_authentication", status=401), 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_failure_before_the_first_byte_has_a_true_status(
    fail: Fail, status: int, stream: bool
) -> None:
    async with served(Stage(demo=replies([fail]))) as server:
        answer = await server.client.post("/v1/responses", json=body(stream=stream))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert ("retry-after" in answer.headers) == (fail.retry_after_s is not None)


@pytest.mark.parametrize(
    "step, code",
    [(Cut(), "server_error"), (Fail(error="upstream_rate_limited", status=429), "rate_limit_exceeded")],
)
async def test_a_stream_that_breaks_off_ends_with_response_failed(step: AnyStep, code: str) -> None:
    stage = Stage(demo=replies([Thinking(thinking="hm"), Text(text="half "), step]))
    async with served(stage) as server:
        answer = await server.client.post("/v1/responses", json=body(stream=True))
    assert answer.status_code == 200
    last = data_of(answer.text)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == code
    assert [item["type"] for item in last["response"]["output"]] == ["reasoning"]
    assert any("error_type=" in line for line in stage.lines())


async def test_an_unstreamed_answer_that_breaks_off_is_an_error() -> None:
    async with served(Stage(demo=replies([Text(text="half "), Cut()]))) as server:
        answer = await server.client.post("/v1/responses", json=body())
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "stream_incomplete"


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
        head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n"
        await connection.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + raw)
        with anyio.fail_after(5):
            await handler.gates["g"].reached.wait()
            assert handler.open_answers == 1
            await connection.aclose()
            while handler.open_answers or server.admission.in_work:
                await anyio.lowlevel.checkpoint()
    assert any("status=499" in line and "error_type=cancelled" in line for line in stage.lines())


async def test_keep_alive_comments_fill_a_pause_between_events() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    gate = stage.handlers["demo"].gates["g"]
    seen = ""
    async with (
        served(stage, config={"server": {"heartbeat_seconds": 0.02}}) as server,
        server.client.stream("POST", "/v1/responses", json=body(stream=True)) as answer,
    ):
        with anyio.fail_after(5):
            async for piece in answer.aiter_text():
                seen += piece
                if seen.count(": keep-alive\n\n") >= 3:
                    gate.opened.set()
    assert data_of(seen)[-1]["type"] == "response.completed"


async def test_a_stream_that_a_drain_breaks_off_says_so_in_its_own_words() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g")]))
    gate = stage.handlers["demo"].gates["g"]
    seen = ""
    async with (
        served(stage) as server,
        server.client.stream("POST", "/v1/responses", json=body(stream=True)) as answer,
    ):
        with anyio.fail_after(5):
            await gate.reached.wait()
            server.admission.break_off()
            async for piece in answer.aiter_text():
                seen += piece
        last = data_of(seen)[-1]
        stored = await server.client.get(f"/v1/responses/{last['response']['id']}")
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
    assert stored.json() == last["response"]
