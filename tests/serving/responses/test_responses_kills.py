"""Background responses that are cancelled or deleted, or whose client leaves, in every phase of theirs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import apsw
import pytest
from msgspec import Struct

from callboard.providers.script import AnyStep, Hold, Script, Text, Thinking, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.faltering import look
from tests.fakes.relayed import Caller, settled, working
from tests.fakes.served import Served, served
from tests.fakes.tools import Counted, counted
from tests.oracles.responses_lifecycle import events_in

pytestmark = pytest.mark.anyio
End = Literal["cancel", "delete"]
GATE = "g"


class World(Struct, frozen=True, kw_only=True, eq=False):
    """A server, and what is behind it."""

    server: Served
    stage: Stage
    tool: Counted

    async def reached(self) -> None:
        """The model has come to the gate."""
        await self.stage.handlers["demo"].gates[GATE].reached.wait()

    async def in_the_tool(self) -> None:
        """The tool is running."""
        await self.tool.running.wait()

    async def in_line(self) -> None:
        """The turn waits for a limit that another one has used up."""
        while not working(self.server, "rate_limiter"):
            await anyio.lowlevel.checkpoint()


class Phase(Struct, frozen=True, kw_only=True):
    """Where a response is when it ends.

    Attributes:
        steps: What the model does.
        there: Waits until it is there.
        seen: Said in the stream by then.
    """

    steps: tuple[AnyStep, ...] = (Hold(gate=GATE), Text(text="never"))
    there: Callable[[World], Awaitable[None]] = World.reached
    seen: str = ""
    parallel: int | None = None


PHASES = {
    "in line for a limit": Phase(there=World.in_line, parallel=1),
    "before the first event": Phase(),
    "in a thought": Phase(
        steps=(Thinking(thinking="hm hm"), Hold(gate=GATE)), seen="reasoning_summary_text.delta"
    ),
    "in a text": Phase(steps=(Text(text="a b "), Hold(gate=GATE)), seen="output_text.delta"),
    "behind a call": Phase(
        steps=(Text(text="a b "), Tool(name="count", id="c1"), Hold(gate=GATE)), seen="output_text.done"
    ),
    "in a tool": Phase(
        steps=(Text(text="a b "), Tool(name="count", id="c1")),
        there=World.in_the_tool,
        seen="output_item.done",
    ),
}


def body(**more: object) -> dict[str, object]:
    return {"model": "demo-model", "input": "hi", "background": True, **more}


@asynccontextmanager
async def world(phase: Phase) -> AsyncIterator[World]:
    tool = counted(idempotent=True, holds=True)
    first: list[list[AnyStep]] = [[Hold(gate="first"), Text(text="first")]] if phase.parallel else []
    stage = Stage(demo=replies(*first, phase.steps))
    config = {"limits": {"parallel": phase.parallel}} if phase.parallel else {}
    with anyio.fail_after(10):
        async with served(stage, tools=[tool.tool], config=config) as server:
            yield World(server=server, stage=stage, tool=tool)


async def left_alone(over: World) -> None:
    """Nobody works on anything any more, and the books are closed."""
    while over.stage.handlers["demo"].open_answers or working(over.server):
        await anyio.lowlevel.checkpoint()
    await settled(over.server)


@pytest.mark.parametrize("end", ["cancel", "delete"])
@pytest.mark.parametrize("name", PHASES)
async def test_a_response_is_ended_in_any_phase_and_nobody_works_on_it_then(name: str, end: End) -> None:
    phase = PHASES[name]
    async with world(phase) as over:
        client = over.server.client
        other = ""
        if phase.parallel:
            other = (await client.post("/v1/responses", json=body())).json()["id"]
            await over.stage.handlers["demo"].gates["first"].reached.wait()
        mine = (await client.post("/v1/responses", json=body())).json()["id"]
        path = f"/v1/responses/{mine}"
        seen = ""
        async with client.stream("GET", f"{path}?stream=true") as stream:
            pieces = stream.aiter_text()
            await phase.there(over)
            while phase.seen not in seen:
                seen += await anext(pieces)
            if end == "cancel":
                answer = await client.post(f"{path}/cancel")
                assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            else:
                assert (await client.delete(path)).json()["deleted"] is True
            seen += "".join([piece async for piece in pieces])
        if phase.parallel:
            over.stage.handlers["demo"].gates["first"].opened.set()
            await client.get(f"/v1/responses/{other}?stream=true")
        await left_alone(over)
        over.stage.handlers["demo"].gates[GATE].opened.set()
        again = await client.get(path)
        following = await client.post(
            "/v1/responses", json={"model": "demo-model", "input": "on", "previous_response_id": mine}
        )
    assert over.tool.runs == (1 if name == "in a tool" else 0)
    last = [event.data for event in events_in(seen.encode()) if event.data is not None][-1]
    if end == "cancel":
        assert last["response"] == again.json()
        assert again.json()["status"] == "cancelled"
        assert following.status_code == 200, following.text
    else:
        assert last["type"] == "response.failed"
        assert again.status_code == following.status_code == 404


async def test_a_response_that_is_written_without_a_pause_can_be_cancelled() -> None:
    stage = Stage(demo=replies([Text(text="word " * 200_000)]))
    with anyio.fail_after(10):
        async with served(stage) as server:
            mine = (await server.client.post("/v1/responses", json=body())).json()["id"]
            async with server.client.stream("GET", f"/v1/responses/{mine}?stream=true") as stream:
                async for piece in stream.aiter_text():
                    if "delta" in piece:
                        break
                answer = await server.client.post(f"/v1/responses/{mine}/cancel")
            assert answer.json()["status"] == "cancelled"
            while stage.handlers["demo"].open_answers:
                await anyio.lowlevel.checkpoint()


async def test_one_whose_client_leaves_while_it_is_stored_is_made_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    config = {"store": {"url": f"sqlite:///{path}"}}
    with anyio.fail_after(20):
        async with served(Stage(demo=Script()), config=config) as server:
            before = (await server.client.post("/v1/responses", json={**body(), "background": False})).json()
            other = apsw.Connection(str(path))
            other.execute("BEGIN IMMEDIATE")
            with Caller(server.port) as caller:
                raw = json.dumps(body(previous_response_id=before["id"])).encode()
                caller.send(
                    b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(raw), raw)
                )
                while not working(server, "archivist"):
                    await anyio.lowlevel.checkpoint()
            while not server.runtime.wiring.adrift.waiting():
                await anyio.lowlevel.checkpoint()
            other.execute("ROLLBACK")
            found: Any = None
            while found is None:
                await look(server.runtime)  # again, where it was not stored yet
                await anyio.lowlevel.checkpoint()
                found = other.execute(
                    "SELECT status FROM responses WHERE background AND status = 'completed'"
                ).get
            other.close()
