"""The dialect on a WebSocket: continuation, what is remembered of it, warming up, and errors.

Tests named after one of the Open Responses compliance suite do what that one does.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import callboard
from callboard.domain.message import text_of, tool_results, tool_uses
from callboard.providers.script import AnyStep, Cut, Fail, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import served
from tests.fakes.socket_client import SocketClient, connected, stream_of, text_in
from tests.oracles.responses_lifecycle import Data, violations

pytestmark = pytest.mark.anyio
SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


async def ask(client: SocketClient, given: object = "hi", **more: object) -> Data:
    """One turn; its last event."""
    with anyio.fail_after(5):
        await client.create(given, **more)
        events = await client.turn()
    if events[-1]["type"] != "error":
        assert violations(stream_of(events)) == []
    return events[-1]


async def unkept(
    client: SocketClient, given: object = "hi", after: Data | None = None, /, **more: object
) -> Data:
    """One turn that is not stored, after another."""
    previous = None if after is None else after["response"]["id"]
    return await ask(client, given, store=False, previous_response_id=previous, **more)


def code(event: Data) -> tuple[int, str]:
    """Of an error."""
    assert event["type"] == "error"
    return event["status"], event["error"]["code"]


NOT_FOUND = (400, "previous_response_not_found")


def texts(stage: Stage, call: int) -> list[str]:
    """What the model was sent."""
    return [text_of(message.content) for message in stage.handlers["demo"].calls[call].request.messages]


async def test_websocket_continuation() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        first = await unkept(client, "one")
        second = await unkept(client, "two", first)
        third = await unkept(client, "three", second)
        again = await server.client.get(f"/v1/responses/{first['response']['id']}")
    assert texts(stage, 2) == ["one", "echo: one", "two", "echo: two", "three"]
    assert third["response"]["previous_response_id"] == second["response"]["id"]
    assert third["response"]["store"] is False
    assert again.status_code == 404


async def test_websocket_reconnect_store_false_recovery() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server:
        async with connected(server.port) as client:
            first = await unkept(client)
        async with connected(server.port) as client:
            lost = await unkept(client, "and?", first)
            recovered = await unkept(client, "all again")
    assert code(lost) == NOT_FOUND
    assert lost["error"]["param"] == "previous_response_id"
    assert text_in(recovered) == "echo: all again"


async def test_websocket_failed_continuation_evicts_cache() -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        first = await unkept(client)
        output = {"type": "function_call_output", "call_id": "call_missing", "output": "?"}
        failed = await unkept(client, [output], first)
        retried = await unkept(client, "stale", first)
        recovered = await unkept(client, "new")
    assert code(failed) == (400, "invalid_value")
    assert "call_missing" in failed["error"]["message"]
    assert code(retried) == NOT_FOUND
    assert text_in(recovered) == "echo: new"


FAILURES: dict[str, tuple[list[AnyStep], dict[str, object]]] = {
    "refused by us": ([], {"model": "nothing"}),
    "malformed": ([], {"temperature": "warm"}),
    "refused upstream": ([Fail(error="upstream_invalid_request", status=400)], {}),
    "broken off": ([Text(text="half "), Cut()], {}),
}


@pytest.mark.parametrize("steps, more", FAILURES.values(), ids=FAILURES)
async def test_whatever_fails_a_continuation_evicts_what_it_followed(
    steps: list[AnyStep], more: dict[str, object]
) -> None:
    stage = Stage(demo=replies([Text(text="one")], steps))
    async with served(stage) as server, connected(server.port) as client:
        first = await unkept(client)
        failed = await unkept(client, "two", first, **more)
        retried = await unkept(client, "two", first)
    assert failed["type"] in {"error", "response.failed"}
    assert code(retried) == NOT_FOUND


async def test_a_turn_that_fails_without_following_evicts_nothing() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        first = await unkept(client, "one")
        failed = await unkept(client, "two", model="nothing")
        await unkept(client, "three", first)
    assert code(failed) == (404, "model_not_found")
    assert texts(stage, 1) == ["one", "echo: one", "three"]


async def test_only_the_latest_response_is_remembered() -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        first = await unkept(client, "one")
        await unkept(client, "two", first)
        assert code(await unkept(client, "fork", first)) == NOT_FOUND


async def test_what_one_connection_remembers_is_unknown_to_others() -> None:
    async with (
        served(Stage(demo=Script())) as server,
        connected(server.port) as mine,
        connected(server.port) as other,
    ):
        first = await unkept(mine)
        body = {"model": "demo-model", "input": "and?", "previous_response_id": first["response"]["id"]}
        over_http = await server.client.post("/v1/responses", json=body)
        assert code(await unkept(other, "and?", first)) == NOT_FOUND
        assert text_in(await unkept(mine, "and?", first)) == "echo: and?"
    assert over_http.status_code == 404


async def test_stored_responses_are_followed_from_wherever_they_are() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server:
        async with connected(server.port) as client:
            first = await ask(client, "one")
            read = await server.client.get(f"/v1/responses/{first['response']['id']}")
        async with connected(server.port) as client:
            second = await ask(client, "two", previous_response_id=first["response"]["id"])
            third = await unkept(client, "three", second)
            await unkept(client, "four", third)
    assert read.json() == first["response"]
    assert texts(stage, 1) == ["one", "echo: one", "two"]
    assert texts(stage, 3) == ["one", "echo: one", "two", "echo: two", "three", "echo: three", "four"]


async def test_what_is_stored_cannot_follow_what_is_not() -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        first = await unkept(client)
        assert code(await ask(client, "two", previous_response_id=first["response"]["id"])) == NOT_FOUND


async def test_what_our_own_tools_found_is_remembered_and_never_doubled() -> None:
    rounds: list[list[AnyStep]] = [
        [Text(text="Let me see."), Tool(name="add", id="ours", arguments={"a": 1, "b": 2})],
        [Tool(name="shell", id="theirs", arguments={})],
        [Text(text="done")],
        [Text(text="bye")],
    ]
    stage = Stage(demo=replies(*rounds))
    async with served(stage, tools=[add]) as server, connected(server.port) as client:
        first = await unkept(client, tools=[SHELL])
        output = {"type": "function_call_output", "call_id": "theirs", "output": "listing"}
        second = await unkept(client, [output], first, tools=[SHELL])
        await unkept(client, "thanks", second, tools=[SHELL])
    last = stage.handlers["demo"].calls[3].request.messages
    assert [call.id for message in last for call in tool_uses(message)] == ["ours", "theirs"]
    results = [text_of(each.content) for message in last for each in tool_results(message)]
    assert results == ["3.0", "listing"]


async def test_a_conversation_that_no_request_could_carry_is_not_remembered() -> None:
    config = {"server": {"max_body_bytes": 1500}}
    stage = Stage(demo=Script())
    async with served(stage, config=config) as server, connected(server.port) as client:
        first = await unkept(client, "x" * 700)
        assert code(await unkept(client, "and?", first)) == NOT_FOUND


async def test_websocket_compact_new_chain() -> None:
    """The compacted window is the base of a response that follows nothing."""
    window = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The word is slate."}]}
    ]
    given = [*window, {"type": "message", "role": "user", "content": "Continue."}]
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        await unkept(client)
        answer = await unkept(client, given, tools=[])
    assert answer["response"]["status"] == "completed"
    assert len(stage.handlers["demo"].calls[1].request.messages) <= 2


async def test_a_warm_up_asks_no_model_and_can_be_followed() -> None:
    """As a well-known coding agent begins: instructions and tools first, and nothing said yet."""
    stage = Stage(demo=Script())
    common: dict[str, object] = {"instructions": "Be brief.", "tools": [SHELL], "stream": True}
    async with served(stage) as server, connected(server.port) as client:
        warm = await unkept(client, [], generate=False, client_metadata={"a": "b"}, **common)
        assert not stage.handlers["demo"].calls
        first = await unkept(client, "one", warm, **common)
        warm_again = await unkept(client, "two", first, generate=False)
        await unkept(client, "three", warm_again)
    assert (warm["response"]["status"], warm["response"]["output"]) == ("completed", [])
    assert warm["response"]["usage"]["total_tokens"] == 0
    assert texts(stage, 0) == ["one"]
    assert texts(stage, 1) == ["one", "echo: one", "twothree"]
    extra = stage.handlers["demo"].calls[0].request.extra or {}
    assert not extra.keys() & {"type", "generate"}


async def test_a_warm_up_follows_what_is_stored_and_is_not_stored_itself() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        stored = await ask(client, "one")
        warm = await unkept(client, "two", stored, generate=False)
        await unkept(client, "three", warm)
        refused = await ask(client, "two", generate=False)
        unknown = await unkept(client, "two", generate=False, model="nothing")
    assert texts(stage, 1) == ["one", "echo: one", "twothree"]
    assert code(refused) == (400, "unsupported_value")
    assert code(unknown) == (404, "model_not_found")


@pytest.mark.parametrize(
    "message, status, param, wrong",
    [
        ("{", 400, None, "invalid_json"),
        ("", 400, None, "invalid_json"),
        ("[1]", 400, None, "invalid_request_error"),
        ({"model": "demo-model", "input": "hi"}, 400, "type", "invalid_type"),
        ({"type": "response.cancel"}, 400, "type", "unknown_event"),
        ({"type": "response.create", "input": "hi"}, 400, "model", "invalid_type"),
        (
            {"type": "response.create", "model": "demo-model", "input": "hi", "background": True},
            400,
            "background",
            "unsupported_value",
        ),
        (
            {"type": "response.create", "model": "demo-model", "input": "hi", "stream_id": "a"},
            400,
            "stream_id",
            "unsupported_value",
        ),
        ("[" * 100_000, 400, None, "json_too_deep"),
        ('{"type": "response.create", "type": "x"}', 400, None, "json_duplicate_key"),
        (
            {"type": "response.create", "model": "demo-model", "input": []},
            400,
            "input",
            "invalid_value",
        ),
    ],
)
async def test_a_bad_message_gets_an_error_and_the_connection_stays(
    message: Any, status: int, param: str | None, wrong: str
) -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.say(message)
            told = await client.event()
        assert text_in(await ask(client, "still here")) == "echo: still here"
    assert told["type"] == "error"
    assert (told["status"], told["error"]["param"]) == (status, param)
    assert told["error"]["code"] == wrong
    assert told["error"]["message"]
    assert told["request_id"].startswith("req_")


async def test_an_upstream_failure_before_the_first_event_is_an_error_with_its_status() -> None:
    fail = Fail(error="upstream_rate_limited", status=429, retry_after_s=120)
    async with served(Stage(demo=replies([fail]))) as server, connected(server.port) as client:
        told = await ask(client)
    assert code(told) == (429, "rate_limit_exceeded")
    assert told["headers"] == {"retry-after": "120"}


async def test_a_stream_that_breaks_off_ends_with_response_failed() -> None:
    stage = Stage(demo=replies([Text(text="half "), Cut()]))
    async with served(stage) as server, connected(server.port) as client:
        last = await ask(client)
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == "server_error"
