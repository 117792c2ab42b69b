"""Responses that come adrift while their process lives are taken up, and none keeps the others from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from callboard.actors.assistant import Undertake
from callboard.actors.caretaker import TAKEN_UP
from callboard.actors.order import Keeping, TurnOrder, record_of
from callboard.domain.delta import TextDelta
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.meter import Meter
from callboard.domain.principal import Principal
from callboard.domain.turn import ToolStarted
from callboard.domain.turn_log import TurnBroken, TurnInterrupted
from callboard.errors import StoreUnavailable
from callboard.providers.script import Hold, Text, Tool
from callboard.store import LIVE, BeginResponse, DeleteResponse, ResponseRecord
from callboard.wiring import CHAT
from tests.actors.test_background import ID, ME, begin, ended, log_of, logged, once, text_in
from tests.fakes.company import Stage, replies
from tests.fakes.faltering import Faulty, faulty
from tests.fakes.tools import counted

pytestmark = pytest.mark.anyio


def held() -> Stage:
    return Stage(demo=replies([Text(text="once upon "), Hold(gate="g"), Text(text="a time")]))


async def stored(
    over: Faulty, response_id: str, *, background: bool = True, request: bytes | None = None
) -> None:
    """Keep a response that nobody has begun, and let it go."""
    order = TurnOrder(
        request=GenerationRequest(model="demo-model", messages=(user_text("go"),)),
        response_id=response_id,
        principal=Principal(key_id=ME, tenant=ME),
        meter=Meter("req_1", "test", lambda: 0),
    )
    record = record_of(order, Keeping(created_at_s=7, streamed=True, background=background), CHAT)
    record = replace(record, request=record.request if request is None else request)
    await over.store.commit((BeginResponse(record=record),))
    over.runtime.wiring.adrift.let_go(response_id)


async def nobody_waits(over: Faulty) -> None:
    """Return when nothing is adrift."""
    while over.runtime.wiring.adrift.waiting():
        await anyio.lowlevel.checkpoint()


async def status_of(over: Faulty, response_id: str) -> str:
    """Of a response that has ended, or does so meanwhile."""
    while True:
        record = await over.store.response(ME, response_id)
        assert record is not None
        if record.status not in LIVE:
            return record.status
        await anyio.lowlevel.checkpoint()


async def test_a_turn_whose_end_the_store_does_not_take_ends_once_the_store_is_back(tmp_path: Path) -> None:
    stage = held()
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            with pytest.raises(StoreUnavailable):
                async with over.runtime.stream("default", "go") as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            over.store.down = True
                            stage.handlers["demo"].gates["g"].opened.set()
            (response_id,) = over.runtime.wiring.adrift.waiting()
            refused = over.store.refused
            await over.look()
            while over.store.refused == refused:
                await anyio.lowlevel.checkpoint()
            over.store.down = False
            await over.look()
            assert await status_of(over, response_id) == "incomplete"
            await nobody_waits(over)


async def test_a_store_that_fails_in_between_costs_a_background_turn_nothing_but_time(tmp_path: Path) -> None:
    stage = held()
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            await begin(over.runtime)
            await logged(over.runtime, TextDelta)
            over.store.down = True
            stage.handlers["demo"].gates["g"].opened.set()
            await over.adrift(ID)
            over.store.down = False
            await over.look()
            record, log = await ended(over.runtime), await log_of(over.runtime)
    assert record.status == "completed"
    assert text_of(record.produced[-1].content) == "echo: go"
    assert text_in(log).endswith("echo: go")
    assert sum(isinstance(event, TurnInterrupted) for event in log) == 1
    once(log)


async def test_a_failing_store_lets_no_tool_run_that_is_not_in_the_log(tmp_path: Path) -> None:
    tool = counted(idempotent=False)
    stage = Stage(demo=replies([Hold(gate="g"), Tool(name="count", id="c1")]))
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path, tools=[tool.tool]) as over:
            await begin(over.runtime)
            await stage.handlers["demo"].gates["g"].reached.wait()
            over.store.down = True
            stage.handlers["demo"].gates["g"].opened.set()
            await over.adrift(ID)
            assert tool.runs == 0
            assert over.store.refused
            assert not any(isinstance(event, ToolStarted) for event in await log_of(over.runtime))


async def test_when_an_assistant_crashes_its_background_turns_go_on(tmp_path: Path) -> None:
    stage = held()
    nobody: Any = None
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            await begin(over.runtime)
            await logged(over.runtime, TextDelta)
            await over.runtime.system.ref(over.runtime.wiring.chat).tell(Undertake(record=nobody))
            await over.adrift(ID)
            await over.look()
            record = await ended(over.runtime)
            once(await log_of(over.runtime))
    assert record.status == "completed"
    assert len(stage.handlers["demo"].calls) == 2


async def test_who_is_told_twice_of_a_response_works_on_it_once(tmp_path: Path) -> None:
    stage = held()
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            record = await begin(over.runtime)
            await logged(over.runtime, TextDelta)
            await over.runtime.system.ref(over.runtime.wiring.chat).tell(Undertake(record=record))
            stage.handlers["demo"].gates["g"].opened.set()
            assert (await ended(over.runtime)).status == "completed"
    assert len(stage.handlers["demo"].calls) == 1


async def test_one_that_comes_adrift_again_and_again_is_ended(tmp_path: Path) -> None:
    stage = held()
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            await stored(over, ID)
            for _ in range(TAKEN_UP):
                over.runtime.wiring.adrift.taken_up(ID)
                over.runtime.wiring.adrift.let_go(ID)
            await over.look()
            assert await status_of(over, ID) == "incomplete"
            assert await log_of(over.runtime) == [TurnBroken(why="lost")]
    assert len(stage.handlers["demo"].calls) == 0


async def test_one_that_cannot_be_read_or_was_deleted_does_not_keep_the_others_waiting(
    tmp_path: Path,
) -> None:
    stage = Stage(demo=replies([Text(text="fine")]))
    with anyio.fail_after(5):
        async with faulty(stage, tmp_path) as over:
            await stored(over, "resp_gone", background=False)
            await stored(over, "resp_bad", request=b"\xff")
            await stored(over, "resp_good")
            over.runtime.wiring.adrift.let_go("resp_never_stored")

            async def deleted(found: Sequence[ResponseRecord]) -> None:
                if any(each.id == "resp_gone" for each in found):
                    await over.store.commit((DeleteResponse(tenant=ME, id="resp_gone"),))

            over.store.claimed = deleted
            await over.look()
            assert await status_of(over, "resp_good") == "completed"
            assert await status_of(over, "resp_bad") == "incomplete"
            await over.look()
            await nobody_waits(over)
            assert await over.store.response(ME, "resp_gone") is None
