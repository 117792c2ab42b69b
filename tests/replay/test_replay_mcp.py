"""Turns that called tools of a real MCP server, run again without it: the same, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from callboard.actors.kept_order import decode_order
from callboard.domain.principal import LOCAL
from callboard.domain.turn import ApprovalAsked, ToolsListed, ToolStarted
from callboard.domain.turn_log import LogEvent
from callboard.providers.script import AnyStep, Text, Tool
from callboard.replay import Recording, decode_recording, encode_recording, record_response, rerun
from callboard.serving.key_desk import KeyOrder
from tests.fakes.approving import Json, answer_to, asking, desk, done, note, request_in, respond
from tests.fakes.company import Stage, replies
from tests.fakes.keyed import bearer, make_key
from tests.fakes.mcp_servers import listening
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio
DESK: Json = {"type": "mcp", "server_label": "desk"}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the MCP server writes down."""
    return tmp_path / "ledger"


async def recorded(server: Served, response: Json, tenant: str = LOCAL.tenant) -> Recording:
    """The response as it is read from its file."""
    store = server.runtime.wiring.store
    found = await record_response(
        store, tenant, response["id"], version="test", rounds_of=lambda _request: 25
    )
    return decode_recording(encode_recording(found))


async def is_the_same(recording: Recording, *kinds: type[LogEvent]) -> None:
    """A recording with events of these kinds comes out as it was."""
    assert set(kinds) <= {type(event) for event in recording.log}
    found = await rerun(recording)
    assert isinstance(found, int), found


@pytest.mark.parametrize("named", [True, False], ids=["the server is named", "it is not"])
async def test_a_turn_that_asks_for_approval_and_the_one_that_gives_it(ledger: Path, named: bool) -> None:
    then: list[list[AnyStep]] = [[note("c", "free", "c3")], [Text(text="It is done.")]]
    stage = asking(Text(text="Let me see."), note("a"), note("b", "free", "c2"), then=then)
    more: dict[str, Any] = {"tools": [DESK]} if named else {}
    async with desk(stage, ledger) as server:
        first = await respond(server, **more)
        given = [answer_to(request_in(first))]
        second = await respond(server, given, previous_response_id=first["id"], **more)
        recordings = [await recorded(server, each) for each in (first, second)]
    assert done(ledger) == ["free b", "note a", "free c"]
    await is_the_same(recordings[0], ToolStarted, ApprovalAsked, *([ToolsListed] if named else []))
    await is_the_same(recordings[1], ToolStarted)
    assert done(ledger) == ["free b", "note a", "free c"]  # the server is not asked


async def test_what_is_not_approved(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await respond(server, tools=[DESK])
        given = [answer_to(request_in(first), approve=False, reason="no")]
        second = await respond(server, given, previous_response_id=first["id"], tools=[DESK])
        recording = await recorded(server, second)
    await is_the_same(recording)
    assert done(ledger) == []


async def test_approval_by_a_client_that_keeps_its_conversation(ledger: Path) -> None:
    said = {"role": "user", "content": "go"}
    async with desk(asking(), ledger) as server:
        first = await respond(server, [said], tools=[DESK])
        given = [said, *first["output"], answer_to(request_in(first))]
        recording = await recorded(server, await respond(server, given, tools=[DESK]))
    await is_the_same(recording, ToolStarted)


async def test_approval_in_a_conversation_that_has_gone_on(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        conversation = (await server.client.post("/v1/conversations", json={})).json()["id"]
        more: dict[str, Any] = {"conversation": conversation, "tools": [DESK]}
        first = await respond(server, **more)
        second = await respond(server, [answer_to(request_in(first))], **more)
        await respond(server, "thanks", **more)
        recordings = [await recorded(server, each) for each in (first, second)]
    await is_the_same(recordings[0], ApprovalAsked)
    await is_the_same(recordings[1], ToolStarted)


async def test_a_turn_of_a_key_that_may_call_some_tools_by_their_full_names(ledger: Path) -> None:
    async with desk(asking(), ledger, "never") as server:
        token, key = await make_key(server.runtime, KeyOrder(name="narrow", tools=("desk__note",)))
        response = await respond(server, tools=[DESK], headers=bearer(token))
        recording = await recorded(server, response, key.tenant)
    assert done(ledger) == ["note milk"]
    assert decode_order(recording.record.request).principal != LOCAL
    await is_the_same(recording, ToolsListed, ToolStarted)


async def test_a_turn_that_brought_its_own_server() -> None:
    add = Tool(name="far__add", id="c1", arguments={"a": 1, "b": 2})
    stage = Stage(demo=replies([add], [Text(text="It is done.")]))
    with anyio.fail_after(25), listening() as (url, _):
        tool = {"type": "mcp", "server_label": "far", "server_url": url, "require_approval": "never"}
        async with served(stage, config={"mcp": {"remote": [url]}}) as server:
            recording = await recorded(server, await respond(server, tools=[tool]))
    await is_the_same(recording, ToolsListed, ToolStarted)
