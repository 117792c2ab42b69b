"""A client that leaves while its request waits: for a place, a limit, a connection, a retry, a tool of ours.

`test_disconnects` has the phases in which the upstream is at work. Here it is not called at all, not called
yet, or not called now, and must not be called afterwards. What holds for each: everything the server held for
the request is given back, the books balance with the right lines in them, and the next one is served.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

import callboard
from callboard.providers.script import Script
from tests.fakes.company import Stage
from tests.fakes.openai_traffic import (
    PROMPT_TOKENS,
    Answer,
    Gate,
    Part,
    chat,
    chat_stream,
    chunk,
    completion,
    failure,
    json_answer,
    sse,
)
from tests.fakes.relayed import (
    Caller,
    Footprint,
    Leave,
    Relayed,
    Way,
    chat_request,
    clogged,
    openai_config,
    relayed,
    settled,
    working,
)
from tests.fakes.served import Served, served
from tests.fakes.upstream import Exchange, serve_upstream

POOL = 100
"""Connections that the runtime opens to one host."""

CALL_ID = "call_look"


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS = {"relay": Way(), "actors": Way(tools=[add]), "responses": Way(target="/v1/responses")}

pytestmark = pytest.mark.anyio
each_path = pytest.mark.parametrize("path", list(PATHS))
each_form = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
each_leave = pytest.mark.parametrize("leave", ["fin", "rst"])


@asynccontextmanager
async def leaving(server: Served, leave: Leave) -> AsyncIterator[Caller]:
    """A client that leaves at the end of the block; afterwards the server holds no more than before."""
    before = Footprint.of(server)
    with Caller(server.port) as caller:
        with anyio.fail_after(5):
            yield caller
        caller.leave(leave)
    await before.restored(server)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    while not condition():
        await anyio.lowlevel.checkpoint()


async def next_one(server: Served, way: Way, *, stream: bool) -> None:
    """The next client is served."""
    headers = {"x-request-id": "next"}
    body = way.body("next", stream=stream)
    answer = await server.client.post(way.target, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "next" in answer.text


async def held(over: Relayed, gate: Gate, way: Way, *, stream: bool) -> Caller:
    """A client whose answer the upstream holds back."""
    whole = chat_stream("held") if stream else chat("held")
    over.upstream.queue(Answer(headers=whole.headers, parts=(gate, *whole.parts), chunked=whole.chunked))
    caller = Caller(over.server.port)
    way.ask(caller, "holder", request_id="holder", stream=stream)
    with anyio.fail_after(5):
        await gate.reached.wait()
    return caller


async def served_in_the_end(caller: Caller, gate: Gate) -> None:
    """The one that was held back gets its answer."""
    gate.opened.set()
    with anyio.fail_after(5):
        await caller.see(b"held")
    caller.leave()


@each_path
@each_form
@each_leave
async def test_one_that_waits_for_a_place_gives_up_its_place_in_line(
    path: str, stream: bool, leave: Leave
) -> None:
    gate = Gate()
    async with relayed(tools=PATHS[path].tools, config={"server": {"max_concurrency": 1}}) as over:
        holder = await held(over, gate, PATHS[path], stream=stream)
        async with leaving(over.server, leave) as caller:
            PATHS[path].ask(caller, "gone", request_id="gone", stream=stream)
            await until(lambda: over.server.admission.in_work == 2)
        await over.left_line("gone")
        await served_in_the_end(holder, gate)
        await next_one(over.server, PATHS[path], stream=stream)
        assert await over.outcomes() == [("holder", "completed"), ("next", "completed")]
        assert len(over.upstream.exchanges) == 2


@each_path
@each_form
@each_leave
async def test_one_that_waits_for_a_limit_gives_up_its_place_in_line(
    path: str, stream: bool, leave: Leave
) -> None:
    gate = Gate()
    async with relayed(tools=PATHS[path].tools, config={"limits": {"parallel": 1}}) as over:
        holder = await held(over, gate, PATHS[path], stream=stream)
        async with leaving(over.server, leave) as caller:
            PATHS[path].ask(caller, "gone", request_id="gone", stream=stream)
            await until(lambda: working(over.server, "rate_limiter") == 1)
        assert working(over.server, "rate_limiter") == 0
        await over.left_line("gone")
        await served_in_the_end(holder, gate)
        await next_one(over.server, PATHS[path], stream=stream)
        assert await over.outcomes() == [("holder", "completed"), ("next", "completed")]
        assert len(over.upstream.exchanges) == 2


@each_path
@each_form
@each_leave
async def test_one_that_leaves_in_the_middle_of_its_request_is_never_passed_on(
    path: str, stream: bool, leave: Leave
) -> None:
    async with relayed(tools=PATHS[path].tools) as over:
        async with leaving(over.server, leave) as caller:
            way = PATHS[path]
            raw = chat_request(way.body("gone", stream=stream), request_id="gone", target=way.target)
            caller.send(raw[: len(raw) - 10])
            await until(lambda: over.server.admission.in_work == 1)
        await over.left_line("gone")
        await next_one(over.server, PATHS[path], stream=stream)
        assert await over.outcomes() == [("next", "completed")]
        assert len(over.upstream.exchanges) == 1


@each_path
@each_form
@each_leave
async def test_a_connection_that_is_being_made_is_given_up(path: str, stream: bool, leave: Leave) -> None:
    with clogged() as clog:
        stage = Stage(unused=Script())
        config = openai_config(clog.base_url)
        async with served(stage, tools=PATHS[path].tools, config=config) as server:
            async with leaving(server, leave) as caller:
                PATHS[path].ask(caller, "gone", request_id="gone", stream=stream)
                while not (await server.runtime.accounts()).tokens.open:
                    await anyio.lowlevel.checkpoint()
            accounts = await settled(server)
            assert [(line.request_id, line.outcome) for line in accounts.recent] == [("gone", "cancelled")]
            assert accounts.recent[0].output_tokens == 0
            assert accounts.tokens.reserved == accounts.tokens.settled + accounts.tokens.released
            assert clog.accepted() == 1  # the one that filled the line
            clog.listener.close()
            async with serve_upstream(clog.port) as upstream:
                over = Relayed(upstream=upstream, server=server, stage=stage)
                await over.left_line("gone")
                await next_one(server, PATHS[path], stream=stream)
                assert await over.outcomes() == [("gone", "cancelled"), ("next", "completed")]
                assert len(upstream.exchanges) == 1


@each_path
async def test_one_that_waits_for_a_connection_of_the_pool_leaves_the_line(path: str) -> None:
    gate, way = Gate(), PATHS[path]
    async with relayed(tools=PATHS[path].tools) as over:
        whole = chat_stream("held")
        over.upstream.fallback = lambda _: Answer(headers=whole.headers, parts=(gate, *whole.parts))
        holders = [Caller(over.server.port) for _ in range(POOL)]
        for number, holder in enumerate(holders):
            way.ask(holder, "same for all", request_id=f"holder-{number}", stream=True)
        with anyio.fail_after(10):
            await over.upstream.exchange(POOL - 1)
        each = (await over.server.runtime.accounts()).tokens.open // POOL
        async with leaving(over.server, "fin") as caller:
            way.ask(caller, "same for all", request_id="gone", stream=True)
            while (await over.server.runtime.accounts()).tokens.open != (POOL + 1) * each:
                await anyio.lowlevel.checkpoint()
        await over.left_line("gone")
        for holder in holders:
            await served_in_the_end(holder, gate)
        outcomes = dict(await over.outcomes())
        assert len(outcomes) == POOL + 1
        assert {name for name, outcome in outcomes.items() if outcome == "cancelled"} == {"gone"}
        assert len(over.upstream.exchanges) == over.upstream.connections == POOL


@each_path
@each_form
@each_leave
async def test_nothing_is_tried_again_for_one_who_has_gone(path: str, stream: bool, leave: Leave) -> None:
    async with relayed(tools=PATHS[path].tools) as over:
        await next_one(
            over.server, PATHS[path], stream=stream
        )  # so that a connection to the upstream is there
        over.upstream.queue(failure(503, retry_after="2"))
        async with leaving(over.server, leave) as caller:
            PATHS[path].ask(caller, "gone", request_id="gone", stream=stream)
            await over.upstream.exchange(1)
            # The grant of the second attempt is being waited for.
            await until(lambda: working(over.server, "provider_system") == 1)
        assert working(over.server, "provider_system") == 0
        await over.left_line("gone")
        await next_one(over.server, PATHS[path], stream=stream)
        assert await over.outcomes() == [("next", "completed"), ("gone", "failed"), ("next", "completed")]
        assert len(over.upstream.exchanges) == 3


def calling_the_tool(exchange: Exchange) -> Answer:
    """An answer that calls ``look``, in the form that is asked for."""
    called = {"id": CALL_ID, "type": "function", "function": {"name": "look", "arguments": "{}"}}
    if not exchange.json().get("stream"):
        return json_answer(completion(None, finish_reason="tool_calls", tool_calls=[called]))
    pieces = (
        sse(chunk({"role": "assistant", "tool_calls": [{"index": 0, **called}]})),
        sse(chunk({}, finish_reason="tool_calls")),
        b"data: [DONE]\n\n",
    )
    return Answer(
        headers=(("content-type", "text/event-stream"),),
        parts=tuple(Part(piece) for piece in pieces),
        prompt_tokens=PROMPT_TOKENS,
    )


@pytest.mark.parametrize("path", ["actors", "responses"])
@each_form
@each_leave
async def test_a_tool_that_runs_for_one_who_has_gone_is_cancelled(
    path: str, stream: bool, leave: Leave
) -> None:
    gate, cancelled = Gate(), anyio.Event()

    @callboard.tool
    async def look() -> str:
        """Look."""
        gate.reached.set()
        try:
            await gate.opened.wait()
        except anyio.get_cancelled_exc_class():
            cancelled.set()
            raise
        return "seen"

    async with relayed(tools=[look]) as over:
        await next_one(
            over.server, PATHS[path], stream=stream
        )  # so that a connection to the upstream is there
        over.upstream.queue(calling_the_tool(Exchange("", "", (), json.dumps({"stream": True}).encode(), 0)))
        async with leaving(over.server, leave) as caller:
            PATHS[path].ask(caller, "gone", request_id="gone", stream=stream)
            await gate.reached.wait()
        assert cancelled.is_set()
        assert working(over.server, "tool_runner") == 0
        await over.left_line("gone")
        await next_one(over.server, PATHS[path], stream=stream)
        # What the model was asked before the tool ran was answered in full.
        assert await over.outcomes() == [(name, "completed") for name in ("next", "gone", "next")]
        assert len(over.upstream.exchanges) == 3
