"""A client that leaves closes the upstream: every path, form of answer, phase and way to leave."""

from __future__ import annotations

import sys
import time

import anyio
import pytest

import callboard
from callboard.providers.script import Script
from tests.fakes.company import Stage
from tests.fakes.openai_traffic import Answer, Gate, Part, chat, chat_stream
from tests.fakes.relayed import (
    Caller,
    Footprint,
    Leave,
    Relayed,
    Way,
    openai_config,
    relayed,
    serve_silence,
    settled,
)
from tests.fakes.served import served
from tests.fakes.upstream import Exchange

REPETITIONS = 200
P99_S = 0.25
LEAVES: tuple[Leave, ...] = ("fin", "rst")


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS = {"relay": Way(), "actors": Way(tools=[add]), "responses": Way(target="/v1/responses")}

pytestmark = [pytest.mark.anyio]
each_path = pytest.mark.parametrize("path", list(PATHS))
each_form = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
each_leave = pytest.mark.parametrize("leave", LEAVES)


def held_back(exchange: Exchange, gate: Gate, *, mid: bool) -> Answer:
    """An answer in the form that the upstream is asked for, held before its first byte or in the middle."""
    if exchange.json().get("stream"):
        answer = chat_stream("Hello", gate, " you") if mid else chat_stream("Hello", " you")
        return answer if mid else Answer(headers=answer.headers, parts=(gate, *answer.parts))
    whole = chat("Hello you")
    text = next(part.data for part in whole.parts if isinstance(part, Part))
    pieces = (Part(text[:40]), gate, Part(text[40:])) if mid else (gate, Part(text))
    return Answer(headers=whole.headers, parts=pieces)


async def leave_and_check(
    over: Relayed, gate: Gate, way: Way, *, stream: bool, mid: bool, leave: Leave, request_id: str = "gone"
) -> float:
    """One client comes and goes; returns the seconds until the upstream noticed."""
    number = len(over.upstream.exchanges)
    over.upstream.fallback = lambda exchange: held_back(exchange, gate, mid=mid)
    before = Footprint.of(over.server)
    caller = Caller(over.server.port)
    way.ask(caller, request_id=request_id, stream=stream)
    with anyio.fail_after(5):
        await gate.reached.wait()
        if mid and stream:
            await caller.see(b"Hello")
        exchange = await over.upstream.exchange(number)
        assert over.server.admission.in_work == 1
        since = time.perf_counter()
        caller.leave(leave)
        await exchange.peer_left.wait()
        took_s = time.perf_counter() - since
    assert not gate.opened.is_set()
    await before.restored(over.server)
    accounts = await over.settled()
    lines = [line for line in accounts.recent if line.request_id == request_id]
    assert [line.outcome for line in lines] == ["cancelled"]
    assert lines[0].cost_basis == "estimated"
    assert lines[0].input_tokens >= 1
    assert lines[0].output_tokens >= (1 if mid and stream else 0)
    assert accounts.tokens.reserved == accounts.tokens.settled + accounts.tokens.released
    return took_s


@each_path
@each_form
@pytest.mark.parametrize("mid", [False, True], ids=["before-first-byte", "mid-answer"])
@each_leave
async def test_the_upstream_is_closed_when_the_client_leaves(
    path: str, stream: bool, mid: bool, leave: Leave
) -> None:
    way = PATHS[path]
    async with relayed(tools=way.tools) as over:
        await leave_and_check(over, Gate(), way, stream=stream, mid=mid, leave=leave)
        over.upstream.fallback = lambda exchange: (
            chat_stream("fine") if exchange.json().get("stream") else chat("fine")
        )
        answer = await over.server.client.post(way.target, json=way.body(stream=stream))
        assert answer.status_code == 200
        assert "fine" in answer.text
        accounts = await over.settled()
        # The one that left and the next one: nothing was tried again for somebody who has gone.
        assert len(over.upstream.exchanges) == 2
        assert [line.outcome for line in accounts.recent] == ["cancelled", "completed"]
    assert any("status=499" in line and "error_type=cancelled" in line for line in over.stage.lines())


@each_path
@each_form
@each_leave
async def test_a_call_that_waits_for_its_status_is_closed_too(path: str, stream: bool, leave: Leave) -> None:
    async with (
        serve_silence() as upstream,
        served(
            Stage(unused=Script()), tools=PATHS[path].tools, config=openai_config(upstream.base_url)
        ) as server,
    ):
        before = Footprint.of(server)
        caller = Caller(server.port)
        PATHS[path].ask(caller, stream=stream)
        with anyio.fail_after(5):
            await upstream.asked.wait()
            assert server.admission.in_work == 1
            caller.leave(leave)
            await upstream.left.wait()
        await before.restored(server)
        accounts = await settled(server)
        assert [line.outcome for line in accounts.recent] == ["cancelled"]
        assert upstream.connections == 1


@pytest.mark.soak
@each_path
@each_form
async def test_the_upstream_is_closed_within_a_quarter_of_a_second(
    path: str, stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    took_s: list[float] = []
    async with relayed(tools=PATHS[path].tools) as over:
        for number in range(REPETITIONS):
            mid, leave = number % 2 == 0, LEAVES[number // 2 % 2]
            gone = f"gone-{number}"
            took = await leave_and_check(
                over, Gate(), PATHS[path], stream=stream, mid=mid, leave=leave, request_id=gone
            )
            took_s.append(took)
        assert len(over.upstream.exchanges) == REPETITIONS
    p99_s = sorted(took_s)[REPETITIONS * 99 // 100 - 1]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{path} stream={stream}: p99 {p99_s * 1e3:.2f} ms, max {max(took_s) * 1e3:.2f} ms\n"
        )
    assert p99_s <= P99_S
