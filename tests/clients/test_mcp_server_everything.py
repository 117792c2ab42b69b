"""The reference server of the MCP project, unmodified, on Node: every tool, every thing it asks for."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import DocumentBlock, ImageBlock, TextBlock
from callboard.domain.sampling import SamplingResult, TextContent
from callboard.domain.tools import ToolOutcome
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import InputRequest, ServerSettings, StdioServer
from callboard.tools.mcp.session import LiveSession, open_session
from callboard.tools.source import SourceUnavailable
from tests.fakes.mcp_servers import Heard, at

pytestmark = pytest.mark.anyio

PACKAGE = Path(__file__).with_name("server_everything.json")
ORIGIN = CallOrigin(request_id="req_1")
ROOTS = ("file:///data",)
ARGUMENTS: dict[str, dict[str, object]] = {
    "echo": {"message": "hi"},
    "get-sum": {"a": 17, "b": 25},
    "get-annotated-message": {"messageType": "error", "includeImage": True},
    "get-structured-content": {"location": "Chicago"},
    "trigger-long-running-operation": {"duration": 0.3, "steps": 3},
    "trigger-sampling-request": {"prompt": "capital?", "maxTokens": 10},
    "trigger-url-elicitation": {"url": "http://127.0.0.1/"},
    "simulate-research-query": {"topic": "owls"},
    "gzip-file-as-resource": {"name": "a.gz", "data": "data:text/plain;base64,aGk="},
}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """It is the server that is looked at."""
    return request.param


@pytest.fixture(scope="session")
def script() -> str:
    """The server's script, installed by npm once per machine."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm is not installed")
    folder = Path(tempfile.gettempdir()) / "callboard-node-mcp"
    folder.mkdir(exist_ok=True)
    wanted, installed = PACKAGE.read_text(), folder / "package.json"
    if not installed.exists() or installed.read_text() != wanted:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "package.json").write_text(wanted)
            command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(command, cwd=name, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                pytest.skip(f"npm could not install the server: {done.stderr.strip().splitlines()[-1:]}")
            shutil.rmtree(folder / "node_modules", ignore_errors=True)
            shutil.copytree(Path(name) / "node_modules", folder / "node_modules", symlinks=True)
        installed.write_text(wanted)
    return str(folder / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js")


@pytest.fixture
def over_pipes(script: str) -> ServerSettings:
    return ServerSettings(name="every", way=StdioServer(command="node", args=(script, "stdio")), roots=ROOTS)


@pytest.fixture
def over_http(script: str) -> Iterator[ServerSettings]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(["node", script, "streamableHttp"], env=environment, stdout=quiet, stderr=quiet)
    try:
        yield replace(at(f"http://127.0.0.1:{port}/mcp", name="every"), roots=ROOTS)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["over_pipes", "over_http"])
def server(request: pytest.FixtureRequest) -> ServerSettings:
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, ServerSettings)
    return chosen


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


async def test_every_tool_of_the_reference_server_is_called_and_what_it_asks_for_answered(
    server: ServerSettings,
) -> None:
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
    assert texts["echo"] == "Echo: hi"
    assert "is 42" in texts["get-sum"]
    assert "Paris" in texts["trigger-sampling-request"]
    assert "declined" in texts["trigger-elicitation-request"]
    assert "file:///data" in texts["get-roots-list"]
    assert any(isinstance(block, ImageBlock) for block in outcomes["get-tiny-image"].content)
    assert any(isinstance(block, DocumentBlock) for block in outcomes["get-resource-reference"].content)
    fractions = [each.fraction for each in heard.progress]
    assert len(fractions) >= 3
    assert fractions[-1] == 1.0
    assert len(outcomes) >= 15
