"""Hosted MCP tools of OpenAI's Agents SDK, unmodified, on a server of ours: its user is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents import (
    Agent,
    HostedMCPTool,
    MCPToolApprovalFunctionResult,
    MCPToolApprovalRequest,
    Model,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    RunConfig,
    Runner,
)
from openai import AsyncOpenAI
from openai.types.responses.tool_param import Mcp

from tests.fakes.approving import asking, desk, done

pytestmark = pytest.mark.anyio
QUIET = RunConfig(tracing_disabled=True)
DESK: Mcp = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
KINDS = {"responses": OpenAIResponsesModel, "socket": OpenAIResponsesWSModel}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client and our server both need asyncio."""
    return request.param


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
async def test_the_sdk_asks_its_user_and_goes_on(
    tmp_path: Path, kind: str, approve: bool, streamed: bool
) -> None:
    asked: list[str] = []

    def answer(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        asked.append(f"{request.data.server_label} {request.data.name} {request.data.arguments}")
        return {"approve": approve} if approve else {"approve": False, "reason": "not now"}

    tool = HostedMCPTool(tool_config=DESK, on_approval_request=answer)
    async with (
        desk(asking(), tmp_path / "ledger") as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        model: Model = KINDS[kind](model="demo-model", openai_client=client)
        agent = Agent(name="a", model=model, tools=[tool])
        if streamed:
            result = Runner.run_streamed(agent, "go", run_config=QUIET)
            async for _ in result.stream_events():
                pass
            output = result.final_output
        else:
            output = (await Runner.run(agent, "go", run_config=QUIET)).final_output
        await model.close()
    assert output == "It is done."
    assert asked == ['desk note {"text":"milk"}']
    assert done(tmp_path / "ledger") == (["note milk"] if approve else [])
