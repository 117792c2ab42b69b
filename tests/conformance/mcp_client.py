"""What MCP's conformance suite runs as the client: Callboard, with a model that calls what is on offer.

    python -m tests.conformance.mcp_client URL

The server behind the URL is configured as an operator would do it, and its tools are called in a turn. Every
tool is called once, with arguments that the suite wishes for, else with some that fit its schema. Only where
a server asks for its user's input, which no door of ours can carry, a session of ours is opened without a
runtime, and somebody answers.

Source: npm ``@modelcontextprotocol/conformance``, "Client Testing".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
from msgspec import Raw

from callboard.domain.generation import GenerationRequest
from callboard.providers.script import Reply
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import InputRequest
from callboard.tools.mcp.session import open_session
from tests.fakes.company import Stage, company
from tests.fakes.diligent import Diligent, results_in
from tests.fakes.mcp_servers import Heard, at

WAIT_S = 20
ASKS_ITS_USER = frozenset({"elicitation-sep1034-client-defaults", "sep-2322-client-request-state"})
"""Scenarios that need somebody who answers elicitation."""


class Faithful(Diligent, frozen=True, kw_only=True):
    """Says a schema again as it was told of it, where the suite has a tool for that."""

    def reply_to(self, request: GenerationRequest, number: int) -> Reply:
        """The reply to the call ``number``, counted from 0."""
        schemas = {tool.name: msgspec.json.decode(tool.input_schema) for tool in request.tools}
        said = {"json_schema_echo": {"schema": schemas.get("json_schema_2020_12_tool", {})}}
        return Diligent(arguments={**said, **self.arguments}).reply_to(request, number)


async def take_a_turn(url: str, wishes: Mapping[str, Mapping[str, Any]]) -> None:
    """One turn of a runtime with the server."""
    sampling = {"enabled": True, "models": ["demo-model"]}
    server = {"url": url, "approve": "never", "roots": ["file:///data"], "sampling": sampling}
    stage = Stage(demo=Faithful(arguments=wishes))
    async with company(stage, config={"mcp": {"servers": {"suite": server}}}) as runtime:
        states = await runtime.settled_servers(WAIT_S)
        await runtime.ask("default", "Try everything.")
    sys.stdout.write(f"{states}\n{results_in(stage)}\n")


async def accept(request: InputRequest) -> Raw:
    """The user who agrees to what is proposed."""
    schema = msgspec.json.decode(request.params)["requestedSchema"]
    proposed = {name: each.get("default", True) for name, each in schema["properties"].items()}
    return Raw(msgspec.json.encode({"action": "accept", "content": proposed}))


async def answer_for_a_user(url: str) -> None:
    """Every tool of the server, with somebody who answers what it asks its user."""
    async with open_session(at(url), Heard().desk(elicit=accept)) as session:
        for tool in await session.tools():
            outcome = await session.call(tool.name, {}, CallOrigin(request_id="req_1"))
            sys.stdout.write(f"{outcome}\n")


async def main(url: str) -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    context = msgspec.json.decode(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    wishes = {each["name"]: each["arguments"] for each in context.get("toolCalls", ())}
    with anyio.fail_after(WAIT_S + 5):
        if scenario in ASKS_ITS_USER:
            await answer_for_a_user(url)
        else:
            await take_a_turn(url, wishes)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
