"""Turns that go on without a reader, and after the end of the process that began them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Abandon, Undertake
from callboard.actors.order import Keeping, TurnOrder, record_of
from callboard.domain.block import TextBlock
from callboard.domain.delta import BlockStarted, GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, tool_results, user_text
from callboard.domain.meter import Meter
from callboard.domain.pairing import check
from callboard.domain.principal import Principal
from callboard.domain.turn import ToolFinished, ToolStarted
from callboard.domain.turn_log import LogEvent, RoundEnded, TurnBroken, TurnInterrupted, decode_events
from callboard.providers.script import Fail, Hold, Text, Tool
from callboard.runtime import Runtime
from callboard.store import LIVE, BeginResponse, EndResponse, ResponseRecord
from callboard.wiring import CHAT
from tests.fakes.company import Stage, company, replies
from tests.fakes.tools import Counted, counted

pytestmark = pytest.mark.anyio

ID = "resp_1"
ME = "local"


async def begin(runtime: Runtime, text: str = "go", *, background: bool = True) -> ResponseRecord:
    """Order a response in the background, as a door does."""
    order = TurnOrder(
        request=GenerationRequest(model="demo-model", messages=(user_text(text),)),
        response_id=ID,
        principal=Principal(key_id=ME, tenant=ME),
        meter=Meter("req_1", "test", lambda: 0),
    )
    record = record_of(order, Keeping(created_at_s=7, streamed=True, background=background), CHAT)
    await runtime.archivist.ask(Commit(changes=(BeginResponse(record=record),)))
    if background:
        await runtime.system.ref(runtime.wiring.chat).tell(Undertake(record=record))
    return record


async def log_of(runtime: Runtime) -> list[LogEvent]:
    segments = await runtime.wiring.store.segments(ID, after=-1)
    return [event for segment in segments for event in decode_events(segment.payload)]


async def ended(runtime: Runtime) -> ResponseRecord:
    """The response when it has ended."""
    with runtime.wiring.watch.watching(ID) as watcher:
        while True:
            record = await runtime.wiring.store.response(ME, ID)
            assert record is not None
            if record.status not in LIVE:
                return record
            await watcher.wait()


async def logged(runtime: Runtime, kind: type[LogEvent]) -> None:
    """Return when the log holds an event of this kind."""
    with runtime.wiring.watch.watching(ID) as watcher:
        while not any(isinstance(event, kind) for event in await log_of(runtime)):
            await watcher.wait()


def on_disk(folder: Path) -> dict[str, object]:
    return {"store": {"url": f"sqlite:///{folder}/state.db"}}


def text_in(log: Sequence[LogEvent]) -> str:
    return "".join(event.text for event in log if isinstance(event, TextDelta))


def once(log: Sequence[LogEvent]) -> None:
    """Everything that may be logged but once is, and the last event is the only one of its kind."""
    assert sum(isinstance(event, GenerationStarted) for event in log) == 1
    assert [isinstance(event, GenerationStopped | TurnBroken) for event in log].index(True) == len(log) - 1
    shown = [event.index for event in log if isinstance(event, BlockStarted)]
    assert shown == list(range(len(shown)))
    for kind in (ToolStarted, ToolFinished):
        ids = [
            event.call.id if isinstance(event, ToolStarted) else event.result.tool_use_id
            for event in log
            if isinstance(event, ToolStarted | ToolFinished) and isinstance(event, kind)
        ]
        assert len(ids) == len(set(ids))


async def test_a_turn_without_a_reader_runs_to_its_end_and_can_be_followed() -> None:
    stage = Stage(demo=replies([Text(text="a b c")], [Text(text="and then")]))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            await begin(runtime)
            record = await ended(runtime)
            log = await log_of(runtime)
            reply = await runtime.ask("default", "and?", previous_response_id=ID)
    assert record.status == "completed"
    assert record.finished_at_s is not None
    assert text_of(record.produced[-1].content) == text_in(log) == "a b c"
    assert reply.text == "and then"
    once(log)
    asked = stage.handlers["demo"].calls[1].request.messages
    assert [text_of(message.content) for message in asked] == ["go", "a b c", "and?"]


async def test_a_turn_that_fails_is_told_of_in_its_log() -> None:
    with anyio.fail_after(5):
        async with company(Stage(demo=replies([Fail(error="upstream_invalid_request")]))) as runtime:
            await begin(runtime)
            record = await ended(runtime)
            (last,) = await log_of(runtime)
    assert record.status == "failed"
    assert isinstance(last, TurnBroken)
    assert (last.why, last.error_type) == ("failed", "upstream_invalid_request")


async def test_a_turn_that_somebody_ends_in_the_store_stops_its_generation() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    with anyio.fail_after(5):
        async with company(stage) as runtime:
            await begin(runtime)
            await logged(runtime, TextDelta)
            version = len(await log_of(runtime))
            end = EndResponse(
                response_id=ID,
                expected_version=version,
                segment=None,
                status="cancelled",
                produced=(),
                finished_at_s=8,
            )
            await runtime.archivist.ask(Commit(changes=(end,)))
            await runtime.system.ref(runtime.wiring.chat).tell(Abandon(response_id=ID))
            accounts = await runtime.accounts()
            while accounts.tokens.open:
                await anyio.lowlevel.checkpoint()
                accounts = await runtime.accounts()
            record = await runtime.wiring.store.response(ME, ID)
    assert record is not None
    assert (record.status, record.version) == ("cancelled", version)


async def test_a_turn_goes_on_in_the_next_process_where_its_generation_was_cut(tmp_path: Path) -> None:
    first = Stage(demo=replies([Text(text="once upon "), Hold(gate="middle"), Text(text="a time")]))
    second = Stage(demo=replies([Text(text="once more")]))
    with anyio.fail_after(10):
        async with company(first, config=on_disk(tmp_path)) as runtime:
            await begin(runtime)
            await logged(runtime, TextDelta)
        async with company(second, config=on_disk(tmp_path)) as runtime:
            record = await ended(runtime)
            log = await log_of(runtime)
    assert record.status == "completed"
    assert [text_of(message.content) for message in record.produced] == ["once more"]
    assert sum(isinstance(event, TurnInterrupted) for event in log) == 1
    assert text_in(log).startswith("once ")
    assert text_in(log).endswith("once more")
    once(log)


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_tool_whose_outcome_is_unknown_is_run_again_only_where_that_does_no_harm(
    tmp_path: Path, *, idempotent: bool
) -> None:
    first, again = counted(idempotent=idempotent, holds=True), counted(idempotent=idempotent)
    call = Tool(name="count", id="c1", arguments={})
    second = Stage(demo=replies([Text(text="Done.")]))
    with anyio.fail_after(10):
        async with company(
            Stage(demo=replies([call])), tools=[first.tool], config=on_disk(tmp_path)
        ) as runtime:
            await begin(runtime)
            await first.running.wait()
        async with company(second, tools=[again.tool], config=on_disk(tmp_path)) as runtime:
            record = await ended(runtime)
            log = await log_of(runtime)
    assert record.status == "completed"
    assert (first.runs, again.runs) == (1, 1 if idempotent else 0)
    (result,) = tool_results(second.handlers["demo"].calls[0].request.messages[-1])
    assert result.is_error is not idempotent
    assert ("unknown" in text_of(result.content)) is not idempotent
    once(log)
    check(record.produced)


async def test_what_a_tool_came_to_is_not_found_out_twice(tmp_path: Path) -> None:
    first: Counted = counted(idempotent=True)
    stage = Stage(demo=replies([Tool(name="count", id="c1", arguments={})], [Hold(gate="never")]))
    second = Stage(demo=replies([Text(text="Done.")]))
    with anyio.fail_after(10):
        async with company(stage, tools=[first.tool], config=on_disk(tmp_path)) as runtime:
            await begin(runtime)
            await logged(runtime, ToolFinished)
        async with company(second, tools=[first.tool], config=on_disk(tmp_path)) as runtime:
            record = await ended(runtime)
            log = await log_of(runtime)
    assert first.runs == 1
    assert record.status == "completed"
    assert sum(isinstance(event, RoundEnded) for event in log) == 2
    once(log)
    check(record.produced)


async def test_a_call_of_a_later_round_may_have_the_name_of_one_before_the_restart(tmp_path: Path) -> None:
    tool = counted(idempotent=False)
    call = Tool(name="count", id="c1", arguments={})
    with anyio.fail_after(10):
        async with company(
            Stage(demo=replies([call], [Hold(gate="never")])), tools=[tool.tool], config=on_disk(tmp_path)
        ) as runtime:
            await begin(runtime)
            await logged(runtime, ToolFinished)
        async with company(
            Stage(demo=replies([call], [Text(text="Done.")])), tools=[tool.tool], config=on_disk(tmp_path)
        ) as runtime:
            record = await ended(runtime)
    assert record.status == "completed"
    assert tool.runs == 2
    check(record.produced)


async def test_a_response_whose_reader_went_with_the_process_ends_as_incomplete(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with company(Stage(demo=replies([])), config=on_disk(tmp_path)) as runtime:
            await begin(runtime, background=False)
        async with company(Stage(demo=replies([])), config=on_disk(tmp_path)) as runtime:
            record = await ended(runtime)
            (last,) = await log_of(runtime)
    assert record.status == "incomplete"
    assert last == TurnBroken(why="lost")
    assert record.input == (user_text("go"),)
    assert record.produced == ()
    assert isinstance(record.input[0].content[0], TextBlock)
