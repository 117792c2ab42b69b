"""A served company with an MCP server whose calls wait for approval, and what its clients say and see."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import httpx2

from callboard.domain.block import ToolResultBlock
from callboard.domain.message import text_of, tool_results
from callboard.domain.pairing import check
from callboard.providers.script import AnyStep, Text, Tool
from callboard.runtime import Runtime
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served
from tests.oracles.responses_lifecycle import events_in

LEDGER = str(Path(__file__).with_name("mcp_ledger.py"))
RULES: Mapping[str, object] = {"never": {"tool_names": ["free"]}}

Json: TypeAlias = dict[str, Any]


def note(text: str = "milk", name: str = "note", call_id: str = "c1") -> Tool:
    """A call by the model."""
    return Tool(name=name, id=call_id, arguments={"text": text})


def asking(*steps: AnyStep, then: Sequence[Sequence[AnyStep]] = ()) -> Stage:
    """A model that makes these calls and comments on what came of them."""
    rest = then or [[Text(text="It is done.")], [Text(text="Well.")]]
    return Stage(demo=replies(steps or (note(),), *rest))


def table(ledger: Path, *reading: str, **more: object) -> Json:
    """The server's own table; it claims of the tools ``reading`` that they only read."""
    return {"command": sys.executable, "args": ["-I", "-S", LEDGER, str(ledger), *reading], **more}


def configured(ledger: Path, approve: object = RULES, **more: object) -> Mapping[str, object]:
    """A configuration with the server ``desk``."""
    return {"mcp": {"servers": {"desk": table(ledger, approve=approve)}}, **more}


async def up(runtime: Runtime, server: str = "desk") -> None:
    """Wait until a server offers its tools."""
    while server not in {each.server for each in await runtime.tool_servers() if each.state == "up"}:
        await anyio.sleep(0.005)


@asynccontextmanager
async def desk(stage: Stage, ledger: Path, approve: object = RULES, **more: object) -> AsyncIterator[Served]:
    """The company, served, its server up."""
    with anyio.fail_after(15):
        async with served(stage, config=configured(ledger, approve, **more)) as server:
            await up(server.runtime)
            yield server


async def send(server: Served, given: object = "go", **more: Any) -> httpx2.Response:
    """A request for a response."""
    headers = more.pop("headers", None)
    body = {"model": "demo-model", "input": given, **more}
    return await server.client.post("/v1/responses", json=body, headers=headers)


async def respond(server: Served, given: object = "go", **more: Any) -> Json:
    """The response to a request, which is one."""
    answer = await send(server, given, **more)
    assert answer.status_code == 200, answer.text
    response: Json = answer.json()
    return response


def request_in(response: Json) -> Json:
    """The one request for approval in a response."""
    (request,) = [item for item in response["output"] if item["type"] == "mcp_approval_request"]
    return dict(request)


def answer_to(request: Json, approve: bool = True, **more: object) -> Json:
    """An answer to it."""
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": approve,
        **more,
    }


def done(ledger: Path) -> list[str]:
    """What the server did, in order."""
    return ledger.read_text().splitlines() if ledger.exists() else []


def results(stage: Stage, call: int = -1) -> list[ToolResultBlock]:
    """The results that the model was sent with its latest call; what it was sent pairs."""
    messages = stage.handlers["demo"].calls[call].request.messages
    assert check(messages) is None
    return [result for message in messages for result in tool_results(message)]


def told(stage: Stage, call: int = -1) -> list[str]:
    """Their texts."""
    return [text_of(result.content) for result in results(stage, call)]


NOT_FOUND = (400, "approval_request_not_found")
ALREADY = (400, "approval_request_already_answered")
EXPIRED = (400, "approval_request_expired")


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """The status and the code of an error."""
    status, error = answer.status_code, answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return status, error["code"]


def on_disk(ledger: Path) -> Json:
    """A store beside the ledger."""
    return {"url": f"sqlite:///{ledger.with_name('state.db')}"}


async def finished(server: Served, begun: Json) -> Json:
    """A response in the background, when it has come to its end."""
    await server.client.get(f"/v1/responses/{begun['id']}?stream=true")
    return dict((await server.client.get(f"/v1/responses/{begun['id']}")).json())


def response_in(content: bytes, stream: bool) -> Json:
    """The response, as it was at its end."""
    if not stream:
        return dict(json.loads(content))
    data = [event.data for event in events_in(content) if event.data is not None]
    return dict(data[-1]["response"])
