"""Clients for whom nothing passes unexamined: all that comes is held against every oracle we have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from callboard.tools.function import FunctionTool
from tests.conformance.open_responses import DESCRIPTION
from tests.fakes.company import Stage
from tests.fakes.obliging import Obliging
from tests.fakes.served import Carrier, Served, served
from tests.fakes.socket_client import SocketClient, connected, stream_of
from tests.oracles.responses_lifecycle import Data, events_in, violations
from tests.wire.openai_responses.official import check_event, check_response

MODEL = "demo-model"


class Held(Struct, frozen=True, kw_only=True):
    """A server that is asked over HTTP."""

    server: Served
    stage: Stage

    async def create(self, given: object, **more: object) -> Data:
        """The Response object of an unstreamed answer."""
        answer = await self.server.client.post("/v1/responses", json={"model": MODEL, "input": given, **more})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        response: Data = answer.json()
        hold(response)
        return response

    async def stream(self, given: object, **more: object) -> list[Data]:
        """The events of a streamed answer."""
        body = {"model": MODEL, "input": given, "stream": True, **more}
        answer = await self.server.client.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert answer.content.endswith(b"\n\ndata: [DONE]\n\n")
        events = events_in(answer.content)
        assert violations(events) == []
        told = [event.data for event in events if event.data is not None]
        hold_events(told)
        return told

    async def refused(self, path: str = "/v1/responses", /, **body: object) -> tuple[int, Data]:
        """The status and the error of a request that is refused before it is begun."""
        answer = await self.server.client.post(path, json=body)
        error: Data = answer.json()["error"]
        assert answer.headers["content-type"] == "application/json"
        assert {"type", "code", "message", "param"} <= set(error)
        return answer.status_code, error

    async def compact(self, given: object, **more: object) -> Data:
        """A conversation made short."""
        body = {"model": MODEL, "input": given, **more}
        answer = await self.server.client.post("/v1/responses/compact", json=body)
        assert answer.status_code == 200, answer.text
        compacted: Data = answer.json()
        assert DESCRIPTION.faults("CompactResource", compacted) == []
        return compacted

    def sent(self, call: int = -1) -> list[tuple[str, object]]:
        """What the model was sent: roles and contents."""
        request = self.stage.handlers["demo"].calls[call].request
        return [(message.role, message.content) for message in request.messages]


class HeldSocket(Struct, frozen=True, kw_only=True):
    """A server that is asked over a WebSocket."""

    client: SocketClient

    async def turn(self, given: object, **more: object) -> list[Data]:
        """The events of a turn; one, where it is an error."""
        body = {"type": "response.create", "model": MODEL, "input": given, **more}
        assert DESCRIPTION.faults("WebSocketResponseCreateEvent", body) == []
        with anyio.fail_after(5):
            await self.client.say(body)
            events = await self.client.turn()
        if events[-1]["type"] == "error":
            assert DESCRIPTION.faults_of_event(events[-1], socket=True) == []
            return events
        assert violations(stream_of(events)) == []
        hold_events(events)
        return events

    async def response(self, given: object, **more: object) -> Data:
        """The Response object of a turn that is not to be stored."""
        last = (await self.turn(given, store=False, **more))[-1]
        assert last["type"] == "response.completed", last
        response: Data = last["response"]
        return response

    async def code(self, given: object, **more: object) -> tuple[int, str]:
        """Status and code of the error that a turn which is not to be stored ends with."""
        [error] = await self.turn(given, store=False, **more)
        assert error["type"] == "error", error
        return error["status"], error["error"]["code"]


def hold(response: Data) -> None:
    """Hold a Response object against the description and the official type."""
    assert DESCRIPTION.faults("ResponseResource", response) == []
    check_response(response)


def hold_events(events: list[Data]) -> None:
    """Hold events against the description and the official types."""
    assert [fault for event in events for fault in DESCRIPTION.faults_of_event(event)] == []
    for event in events:
        check_event(event)


@asynccontextmanager
async def asked(carrier: Carrier = "own", *tools: FunctionTool[..., object]) -> AsyncIterator[Held]:
    """A server with an obliging model."""
    stage = Stage(demo=Obliging())
    with anyio.fail_after(20):
        async with served(stage, carrier=carrier, tools=tools) as server:
            yield Held(server=server, stage=stage)


@asynccontextmanager
async def socket_to(held: Held) -> AsyncIterator[HeldSocket]:
    """A WebSocket of its own."""
    async with connected(held.server.port) as client:
        yield HeldSocket(client=client)


def said(response: Data) -> str:
    """The text of a response."""
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")
