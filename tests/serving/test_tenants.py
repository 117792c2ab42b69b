"""What belongs to another tenant looks exactly like what does not exist, on every route that takes an id."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from msgspec import Struct

from callboard.providers.script import Hold, Script, Text, Tool
from callboard.serving.key_desk import KeyOrder
from callboard.serving.routes import ROUTES
from tests.fakes.company import Stage, replies
from tests.fakes.keyed import bearer, make_key
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

WITH_IDS = [(route.method, route.path) for route in ROUTES if "{response_id}" in route.path]
IN_CONVERSATIONS = [(route.method, route.path) for route in ROUTES if "{conversation_id}" in route.path]
SHELL = {"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}


class Side(Struct, frozen=True):
    """A caller."""

    client: httpx2.AsyncClient
    headers: dict[str, str]

    async def ask(self, method: str, path: str, body: object = None) -> httpx2.Response:
        headers = {**self.headers, "x-request-id": "same"}
        return await self.client.request(method, path, json=body, headers=headers)

    async def make(self, text: str = "hi", previous: str | None = None, **more: object) -> httpx2.Response:
        asked = {"model": "demo-model", "input": text, "previous_response_id": previous, **more}
        return await self.ask("POST", "/v1/responses", asked)


async def side(server: Served, tenant: str) -> Side:
    token, _ = await make_key(server.runtime, KeyOrder(name=tenant, tenant=tenant))
    return Side(server.client, bearer(token))


@asynccontextmanager
async def sides(stage: Stage, *tenants: str) -> AsyncIterator[list[Side]]:
    with anyio.fail_after(20):
        async with served(stage) as server:
            yield [await side(server, tenant) for tenant in tenants]


def outside(got: httpx2.Response, response_id: str) -> tuple[object, ...]:
    """All that an answer says, but for the id that was asked for and the second it was given in."""
    told = sorted((name, value) for name, value in got.headers.items() if name != "date")
    return (got.status_code, told, got.text.replace(response_id, "ID"))


def test_there_are_routes_to_try() -> None:
    every = [route for route in ROUTES if "{" in route.path]
    assert len(WITH_IDS) >= 4
    assert len(IN_CONVERSATIONS) >= 7
    assert len(WITH_IDS) + len(IN_CONVERSATIONS) == len(every)


async def test_a_foreign_conversation_is_missing_byte_for_byte_and_stays_as_it_is() -> None:
    item = {"type": "message", "role": "user", "content": "mine"}
    async with sides(Stage(demo=Script()), "ours", "theirs") as (ours, theirs):
        made = (await ours.ask("POST", "/v1/conversations", {"items": [item]})).json()["id"]
        missing = made[:-4] + ("0000" if made[-4:] != "0000" else "1111")
        before = await ours.ask("GET", f"/v1/conversations/{made}/items")
        kept = before.json()["data"][0]["id"]
        for method, path in IN_CONVERSATIONS:
            body = {"items": [item], "metadata": {"a": "b"}} if method == "POST" else None
            foreign = await theirs.ask(method, path.format(conversation_id=made, item_id=kept), body)
            absent = await theirs.ask(method, path.format(conversation_id=missing, item_id=kept), body)
            assert foreign.status_code == 404, (method, path)
            assert outside(foreign, made) == outside(absent, missing), (method, path)
        turns = [await theirs.make("go on", None, conversation=name) for name in (made, missing)]
        assert [turn.status_code for turn in turns] == [404, 404]
        assert outside(turns[0], made) == outside(turns[1], missing)
        after = await ours.ask("GET", f"/v1/conversations/{made}/items")
    assert after.json() == before.json()


@pytest.mark.parametrize("query", ["", "?stream=true", "?stream=true&starting_after=0", "?limit=5&order=asc"])
@pytest.mark.parametrize("background", [False, True])
async def test_foreign_is_missing_byte_for_byte(query: str, background: bool) -> None:
    async with sides(Stage(demo=Script()), "ours", "theirs") as (ours, theirs):
        made = (await ours.make(background=background)).json()["id"]
        missing = made[:-4] + ("0000" if made[-4:] != "0000" else "1111")
        for method, path in WITH_IDS:
            asked = path + (query if method == "GET" else "")
            foreign = await theirs.ask(method, asked.format(response_id=made))
            absent = await theirs.ask(method, asked.format(response_id=missing))
            assert foreign.status_code == 404, (method, path)
            assert outside(foreign, made) == outside(absent, missing), (method, path)
        foreign, absent = await theirs.make("go on", made), await theirs.make("go on", missing)
        assert foreign.status_code == 404
        assert outside(foreign, made) == outside(absent, missing)
        # And it is still there, untouched.
        assert (await ours.ask("GET", f"/v1/responses/{made}")).json()["status"] != "cancelled"


async def test_a_live_response_of_another_tenant_is_neither_cancelled_nor_followed() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    async with sides(stage, "ours", "theirs") as (ours, theirs):
        made = (await ours.make(background=True)).json()["id"]
        await stage.handlers["demo"].gates["g"].reached.wait()
        for method, path in WITH_IDS:
            assert (await theirs.ask(method, path.format(response_id=made))).status_code == 404
        stage.handlers["demo"].gates["g"].opened.set()
        followed = await ours.ask("GET", f"/v1/responses/{made}?stream=true")
    assert "response.completed" in followed.text


async def test_keys_of_one_tenant_share_its_data() -> None:
    async with sides(Stage(demo=Script()), "ours", "ours") as (one, other):
        made = (await one.make("first")).json()["id"]
        assert (await other.ask("GET", f"/v1/responses/{made}")).status_code == 200
        assert (await other.make("next", made)).status_code == 200
        assert (await other.ask("DELETE", f"/v1/responses/{made}")).status_code == 200
        assert (await one.ask("GET", f"/v1/responses/{made}")).status_code == 404


async def test_what_our_tools_found_for_one_tenant_is_never_put_back_for_another() -> None:
    stage = Stage(demo=replies([Tool(name="shell", id="c1")], [Text(text="ok")], [Text(text="ok")]))
    async with sides(stage, "ours", "theirs") as (ours, theirs):
        said = {"role": "user", "content": "hi"}
        asked = {"model": "demo-model", "messages": [said], "tools": [SHELL]}
        called = (await ours.ask("POST", "/v1/chat/completions", asked)).json()["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "x"}
        for each in (ours, theirs):
            again = {**asked, "messages": [said, called, result]}
            assert (await each.ask("POST", "/v1/chat/completions", again)).status_code == 200
    _, mine, others = (call.request.messages for call in stage.handlers["demo"].calls)
    assert mine == others


@pytest.mark.parametrize("seed", range(3))
async def test_random_interleavings_leak_nothing(seed: int) -> None:
    chance = random.Random(seed)
    owner: dict[str, int] = {}
    async with sides(Stage(demo=Script()), "a", "b", "c") as callers:
        for step in range(120):
            number = chance.randrange(3)
            caller = callers[number]
            known = chance.choice([*owner, "resp_none"])
            mine = owner.get(known) == number
            match chance.randrange(6):
                case 0 | 1:
                    got = await caller.make(f"secret of {number} at {step}")
                    owner[got.json()["id"]] = number
                case 2:
                    got = await caller.make(f"secret of {number} at {step}", known)
                    assert (got.status_code == 200) is mine
                    if mine:
                        owner[got.json()["id"]] = number
                case 3:
                    got = await caller.ask("DELETE", f"/v1/responses/{known}")
                    assert (got.status_code == 200) is mine
                    if mine:
                        del owner[known]
                case 4:
                    got = await caller.ask("GET", f"/v1/responses/{known}")
                    assert (got.status_code == 200) is mine
                case _:
                    got = await caller.ask("GET", f"/v1/responses/{known}/input_items")
                    assert (got.status_code == 200) is mine
            assert not [other for other in range(3) if other != number and f"secret of {other}" in got.text]
