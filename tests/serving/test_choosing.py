"""``model: "auto"`` on every route: one chooser, and whoever asks is told which model it was."""

from __future__ import annotations

import json
from collections.abc import Mapping

import anyio
import pytest

import callboard
from callboard.providers.script import Script
from callboard.serving.key_desk import KeyOrder
from callboard.tools.function import FunctionTool
from tests.fakes.company import Stage
from tests.fakes.keyed import bearer, make_key
from tests.fakes.relayed import relayed
from tests.fakes.served import Served, served
from tests.fakes.socket_client import connected

pytestmark = pytest.mark.anyio
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
DEEP = {"model_preferences": {"intelligencePriority": 1}}
TWO = {"models": {"quick": {"provider": "a"}, "deep": {"provider": "b", "reasoning": True}}, "assistants": {}}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def two() -> Stage:
    return Stage(a=Script(), b=Script())


def body(route: str, /, **more: object) -> dict[str, object]:
    said: dict[str, object] = {"input": "hi"}
    if route == CHAT:
        said = {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": "auto", **said, **more}


async def answered_by(
    server: Served, route: str, *, stream: bool, headers: Mapping[str, str], **more: object
) -> str:
    """The model that the client is told."""
    answer = await server.client.post(route, json=body(route, stream=stream, **more), headers=headers)
    assert answer.status_code == 200, answer.text
    if not stream:
        model = answer.json()["model"]
    else:
        first = json.loads(next(line for line in answer.text.split("\n") if line.startswith("data: "))[6:])
        model = first.get("response", first)["model"]
    assert isinstance(model, str)
    return model


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_auto_is_the_model_that_suits_what_is_asked(route: str, stream: bool) -> None:
    with anyio.fail_after(5):
        async with served(two(), config=TWO) as server:
            assert await answered_by(server, route, stream=stream, headers={}) == "quick"
            assert await answered_by(server, route, stream=stream, headers={}, **DEEP) == "deep"
            by_hint = {"model_preferences": {"hints": [{"name": "DEE"}]}}
            assert await answered_by(server, route, stream=stream, headers={}, **by_hint) == "deep"


async def test_auto_over_a_socket_and_in_the_background() -> None:
    with anyio.fail_after(5):
        async with served(two(), config=TWO) as server:
            async with connected(server.port) as client:
                await client.create("hi", model="auto", **DEEP)
                assert (await client.turn())[-1]["response"]["model"] == "deep"
            begun = await server.client.post(RESPONSES, json=body(RESPONSES, background=True, **DEEP))
            assert begun.json()["model"] == "deep"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_auto_is_only_what_the_key_may_ask_for(route: str, stream: bool) -> None:
    with anyio.fail_after(5):
        async with served(two(), config=TWO) as server:
            token, _ = await make_key(server.runtime, KeyOrder(name="k", models=("quick",)))
            assert await answered_by(server, route, stream=stream, headers=bearer(token), **DEEP) == "quick"
            none, _ = await make_key(server.runtime, KeyOrder(name="k", models=("other",)))
            refused = await server.client.post(route, json=body(route), headers=bearer(none))
    assert refused.status_code == 404
    assert "model 'auto' is not configured" in refused.text


@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_preferences_that_cannot_be_read_are_the_clients_error(route: str) -> None:
    with anyio.fail_after(5):
        async with served(two(), config=TWO) as server:
            wrong = await server.client.post(route, json=body(route, model_preferences={"costPriority": 3}))
    assert wrong.status_code == 400
    assert "costPriority" in wrong.text


@pytest.mark.parametrize("tools", [[], [add]], ids=["relay", "actors"])
@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_an_upstream_is_asked_for_the_model_by_name_and_told_no_preferences(
    route: str, tools: list[FunctionTool[..., object]]
) -> None:
    with anyio.fail_after(5):
        async with relayed(tools=tools) as over:
            asked = body(route, temperature=0.5, user="u", **DEEP)
            answer = await over.server.client.post(route, json=asked)
            sent = (await over.upstream.exchange(0)).json()
    assert answer.status_code == 200
    assert (sent["model"], sent["temperature"], sent["user"]) == ("fake-1", 0.5, "u")
    assert "model_preferences" not in sent


async def test_relayed_fields_that_we_do_not_know_pass_with_auto_as_they_are() -> None:
    with anyio.fail_after(5):
        async with relayed() as over:
            asked = body(CHAT, unknown={"x": [1, None]}, **DEEP)
            await over.server.client.post(CHAT, json=asked)
            sent = (await over.upstream.exchange(0)).json()
    assert sent == {"model": "fake-1", "messages": asked["messages"], "unknown": {"x": [1, None]}}


@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_text_that_looks_like_a_directive_passes_as_it_is(route: str) -> None:
    said: dict[str, object] = {"input": "reason: why?"}
    if route == CHAT:
        said = {"messages": [{"role": "user", "content": "reason: why?"}]}
    stage = two()
    with anyio.fail_after(5):
        async with served(stage, config=TWO) as server:
            answer = await server.client.post(route, json={"model": "quick", **said})
    assert "echo: reason: why?" in answer.text
    assert answer.json()["model"] == "quick"


@pytest.mark.parametrize(
    "models, allowed, listed",
    [
        ({"quick": {"provider": "a"}}, None, ["quick"]),
        ({"quick": {"provider": "a"}, "deep": {"provider": "b"}}, None, ["quick", "deep", "auto"]),
        ({"quick": {"provider": "a"}, "deep": {"provider": "b"}}, ("quick",), ["quick"]),
        ({"quick": {"provider": "a"}, "auto": {"provider": "b"}}, None, ["quick", "auto"]),
    ],
    ids=["one", "two", "one for the key", "the operator's own"],
)
async def test_auto_is_listed_where_there_is_something_to_choose(
    models: dict[str, object], allowed: tuple[str, ...] | None, listed: list[str]
) -> None:
    with anyio.fail_after(5):
        async with served(two(), config={"models": models, "assistants": {}}) as server:
            token, _ = await make_key(server.runtime, KeyOrder(name="k", models=allowed))
            found = (await server.client.get("/v1/models", headers=bearer(token))).json()["data"]
    assert [each["id"] for each in found] == listed
