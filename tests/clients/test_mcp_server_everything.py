"""The reference server of the MCP project, unmodified, on Node: every tool, every thing it asks for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import DocumentBlock, ImageBlock, TextBlock
from callboard.domain.sampling import SamplingResult, TextContent
from callboard.domain.tools import ToolOutcome
from callboard.providers.script import Script
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import HttpServer, InputRequest, ServerSettings, StdioServer
from callboard.tools.mcp.session import LiveSession, open_session
from callboard.tools.source import SourceUnavailable
from tests.clients.mcp_packages import node_packages
from tests.clients.mcp_turns import ASKS, ROOT, SAMPLING, Ask, offered
from tests.fakes.company import Stage
from tests.fakes.diligent import DONE, Diligent, results_in, texts_in
from tests.fakes.mcp_servers import Heard, at
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

ORIGIN = CallOrigin(request_id="req_1")
TOOLS = frozenset(
    {
        *("echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference"),
        *("get-roots-list", "get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource"),
        *("toggle-simulated-logging", "toggle-subscriber-updates", "trigger-long-running-operation"),
        "trigger-sampling-request",
    }
)
"""What a model is told of; left out are what only runs as a task, and what asks the user."""

ARGUMENTS: dict[str, dict[str, object]] = {
    "echo": {"message": "hi"},
    "get-sum": {"a": 17, "b": 25},
    "get-annotated-message": {"messageType": "error", "includeImage": True},
    "get-structured-content": {"location": "Chicago"},
    "trigger-long-running-operation": {"duration": 0.3, "steps": 3},
    "trigger-sampling-request": {"prompt": "capital?", "maxTokens": 10},
    "trigger-url-elicitation": {"url": "http://127.0.0.1/"},
    "simulate-research-query": {"topic": "owls"},
    "gzip-file-as-resource": {"name": "a", "data": "data:text/plain;base64,aGk=", "outputType": "resource"},
}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """It is the server that is looked at."""
    return request.param


@pytest.fixture(scope="session")
def command() -> tuple[str, str]:
    """Node, and the server's script."""
    modules = node_packages() / "node_modules"
    script = modules / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    return str(modules / ".bin" / "node"), str(script)


@pytest.fixture
def over_pipes(command: tuple[str, str]) -> ServerSettings:
    node, script = command
    return ServerSettings(name="every", way=StdioServer(command=node, args=(script, "stdio")), roots=(ROOT,))


@pytest.fixture
def over_http(command: tuple[str, str]) -> Iterator[ServerSettings]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([*command, "streamableHttp"], env=environment, stdout=quiet, stderr=quiet)
    try:
        yield replace(at(f"http://127.0.0.1:{port}/mcp", name="every"), roots=(ROOT,))
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["over_pipes", "over_http"])
def server(request: pytest.FixtureRequest) -> ServerSettings:
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, ServerSettings)
    return chosen


def configured(server: ServerSettings) -> dict[str, object]:
    """The server as an operator would write it down."""
    way = server.way
    if isinstance(way, HttpServer):
        table: dict[str, object] = {"url": way.url}
    else:
        table = {"command": way.command, "args": list(way.args)}
    more = {"approve": "never", "roots": [ROOT], "sampling": SAMPLING}
    return {"mcp": {"servers": {"every": {**table, **more}}}}


@pytest.mark.parametrize("ask", ASKS)
async def test_every_tool_is_called_in_a_streamed_turn_and_what_it_returns_is_kept(
    server: ServerSettings, ask: Ask
) -> None:
    stage = Stage(demo=Diligent(arguments=ARGUMENTS), wise=Script())
    with anyio.fail_after(60):
        async with served(stage, config=configured(server)) as running:
            assert await offered(running.runtime, until=TOOLS) == TOOLS
            assert await ask(running) == DONE
    results, texts = results_in(stage), texts_in(stage)
    assert set(results) == TOOLS
    assert {name for name in results if results[name].is_error} == set()
    assert texts["echo"] == "Echo: hi"
    assert "is 42" in texts["get-sum"]
    assert '"conditions"' in texts["get-structured-content"]
    assert "demo://resource/dynamic/" in texts["get-resource-links"]
    assert "application/gzip" in texts["gzip-file-as-resource"]
    assert "capital?" in json.loads(texts["trigger-sampling-request"].partition("\n")[2])["content"]["text"]
    assert ROOT in texts["get-roots-list"]
    kinds = {name: [type(block) for block in result.content] for name, result in results.items()}
    assert kinds["get-tiny-image"] == [TextBlock, ImageBlock, TextBlock]
    assert kinds["get-annotated-message"] == [TextBlock, ImageBlock]
    assert kinds["get-resource-reference"] == [TextBlock, DocumentBlock, TextBlock]
    (sampled,) = stage.handlers["wise"].calls
    assert sampled.request.max_output_tokens == 10
    (disabled,) = [line for line in stage.lines() if 'msg="tool disabled"' in line]
    assert "tool=simulate-research-query" in disabled
    assert "as a task" in disabled


async def sample(request: InputRequest) -> SamplingResult:
    assert json.loads(bytes(request.params))["maxTokens"] == 10
    content = TextContent(text="Paris")
    return SamplingResult(role="assistant", content=content, model="m", stop_reason="endTurn")


async def decline(request: InputRequest) -> Raw:
    return Raw(b'{"action":"decline"}')


async def call_all(session: LiveSession) -> dict[str, ToolOutcome]:
    names = {each.name for each in await session.tools()}
    while "trigger-sampling-request" not in names:  # it learns what we can do a moment after the handshake
        await session.news(5)
        names = {each.name for each in await session.tools()}
    return {name: await session.call(name, ARGUMENTS.get(name, {}), ORIGIN) for name in sorted(names)}


async def test_what_asks_its_user_too_is_called_in_a_session_and_answered(server: ServerSettings) -> None:
    heard = Heard()
    outcomes: dict[str, ToolOutcome] = {}
    with anyio.fail_after(60):
        while not outcomes:
            try:
                async with open_session(server, heard.desk(sample, decline)) as session:
                    assert session.protocol == "2025-11-25"
                    outcomes = await call_all(session)
            except SourceUnavailable:  # it is still starting
                await anyio.sleep(0.05)
    texts = {
        name: " ".join(block.text for block in outcome.content if isinstance(block, TextBlock))
        for name, outcome in outcomes.items()
    }
    assert set(outcomes) > TOOLS
    assert "Paris" in texts["trigger-sampling-request"]
    assert "declined" in texts["trigger-elicitation-request"]
    fractions = [each.fraction for each in heard.progress]
    assert len(fractions) >= 3
    assert fractions[-1] == 1.0
