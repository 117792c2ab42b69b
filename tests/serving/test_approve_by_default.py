"""Which calls of MCP servers wait for approval where the operator says nothing of that."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from callboard.providers.script import Text
from tests.fakes.approving import Json, answer_to, asking, done, note, request_in, respond, table, up
from tests.fakes.company import Stage, company
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the MCP server writes down."""
    return tmp_path / "ledger"


@asynccontextmanager
async def desk(stage: Stage, server: Json) -> AsyncIterator[Served]:
    """A company with one server, which is up."""
    with anyio.fail_after(15):
        async with served(stage, config={"mcp": {"servers": {"desk": server}}}) as found:
            await up(found.runtime)
            yield found


async def chat(server: Served) -> None:
    body = {"model": "demo-model", "messages": [{"role": "user", "content": "go"}]}
    answer = await server.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text


def offered(stage: Stage, call: int = 0) -> list[str]:
    """The tools that the model was told of."""
    return [tool.name for tool in stage.handlers["demo"].calls[call].request.tools]


def waiting(stage: Stage) -> list[str]:
    """The lines that say of a tool that it waits."""
    return [line for line in stage.lines() if "wait for approval" in line]


async def test_a_chat_is_not_offered_tools_that_write_and_the_log_says_what_to_do(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, table(ledger)) as server:
        await chat(server)
        await chat(server)
    assert offered(stage) == []
    assert done(ledger) == []  # though the model names one
    lines = waiting(stage)
    assert [f"source=desk tool={name} " in line for name, line in zip(NAMES, lines, strict=True)] == [
        True
    ] * 3
    assert all('approve = \\"never\\" in [mcp.servers.desk]' in line for line in lines)


NAMES = ("free", "note", "slow")


async def test_neither_is_who_asks_without_a_server(ledger: Path) -> None:
    stage = asking()
    with anyio.fail_after(15):
        async with company(stage, config={"mcp": {"servers": {"desk": table(ledger)}}}) as runtime:
            await up(runtime)
            await runtime.ask("default", "go")
    assert offered(stage) == []
    assert done(ledger) == []


async def test_a_client_of_responses_is_asked(ledger: Path) -> None:
    async with desk(asking(), table(ledger)) as server:
        first = await respond(server)
        request = request_in(first)
        assert (request["server_label"], request["name"]) == ("desk", "note")
        assert done(ledger) == []
        await respond(server, [answer_to(request)], previous_response_id=first["id"])
    assert done(ledger) == ["note milk"]


async def test_a_client_that_would_rather_not_be_asked_is_asked_all_the_same(ledger: Path) -> None:
    tool = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
    async with desk(asking(), table(ledger)) as server:
        assert request_in(await respond(server, tools=[tool]))["name"] == "note"
    assert done(ledger) == []


async def test_what_a_trusted_server_says_only_reads_is_run_unasked_and_nothing_else(ledger: Path) -> None:
    stage = asking(note("a", "free", "c0"), note())
    async with desk(stage, table(ledger, "free", trusted=True)) as server:
        assert request_in(await respond(server))["name"] == "note"
        await chat(server)
    assert done(ledger) == ["free a"]
    assert offered(stage) == [*NAMES]
    assert offered(stage, 1) == ["free"]
    assert len(waiting(stage)) == 2


async def test_what_an_untrusted_server_says_only_reads_waits(ledger: Path) -> None:
    stage = asking(note("a", "free"), then=[[Text(text="Hm.")]])
    async with desk(stage, table(ledger, "free")) as server:
        assert request_in(await respond(server))["name"] == "free"
        await chat(server)
    assert done(ledger) == []
    assert offered(stage, 1) == []


async def test_with_always_what_only_reads_waits_too(ledger: Path) -> None:
    stage = asking(note("a", "free"))
    async with desk(stage, table(ledger, "free", trusted=True, approve="always")) as server:
        assert request_in(await respond(server))["name"] == "free"
    assert done(ledger) == []


async def test_with_never_nobody_is_asked(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, table(ledger, approve="never")) as server:
        await chat(server)
    assert offered(stage) == [*NAMES]
    assert done(ledger) == ["note milk"]
    assert waiting(stage) == []


async def test_of_another_hosts_file_those_run_unasked_that_it_always_allows(ledger: Path) -> None:
    servers = {"desk": table(ledger, "note", alwaysAllow=["free"])}
    path = ledger.with_name("servers.json")
    path.write_text(json.dumps({"mcpServers": servers}))
    stage = asking(note("a", "free", "c0"), note())
    with anyio.fail_after(15):
        async with served(stage, config={"mcp": {"servers_config_path": str(path)}}) as server:
            await up(server.runtime)
            assert request_in(await respond(server))["name"] == "note"
            await chat(server)
    assert done(ledger) == ["free a"]
    assert offered(stage, 1) == ["free"]
    assert all("alwaysAllow in an mcpServers file" in line for line in waiting(stage))
    assert len(waiting(stage)) == 2
