"""Stored responses as files: run again they are the same, byte for byte; where they are not it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from callboard.actors.assistant import Undertake
from callboard.domain.delta import GenerationStopped, TextDelta
from callboard.domain.turn import ToolFinished
from callboard.errors import InvalidRequest, UnknownResponse
from callboard.providers.script import AnyStep, Cut, Fail, Hold, Script, Text, Thinking, Tool
from callboard.replay import Divergence, Recording, decode_recording, encode_recording, record_response, rerun
from callboard.runtime import Runtime
from tests.actors.test_background import ID, ME, begin, ended, log_of, logged, on_disk, text_in
from tests.fakes.company import Stage, company, replies
from tests.fakes.tools import Counted, counted

pytestmark = pytest.mark.anyio

CALLS: tuple[AnyStep, ...] = (
    Thinking(thinking="hm hm"),
    Text(text="Let me see."),
    Tool(name="count", id="c1"),
    Tool(name="count", id="c2"),
    Tool(name="unheard_of", id="c3", arguments={"a": 1}),
    Tool(name="count", id="c4", arguments_text="{broken"),
)
TURNS: dict[str, Script] = {
    "text": replies([Text(text="a b c")]),
    "nothing at all": replies([]),
    "tools in two rounds": replies(CALLS, [Tool(name="count", id="c1")], [Text(text="Done.")]),
    "cut by its limit": replies([Text(text="a b")]),
    "broken off in a text": replies([Text(text="a b "), Cut()]),
    "broken off after a tool": replies(
        [Tool(name="count", id="c1")], [Fail(error="upstream_invalid_request")]
    ),
    "refused at once": replies([Fail(error="upstream_invalid_request", message="no")]),
}


async def recorded(runtime: Runtime) -> Recording:
    return await record_response(runtime.wiring.store, ME, ID, version="test", rounds_of=lambda _request: 25)


async def recording_of(script: Script) -> Recording:
    async with company(Stage(demo=script), tools=[counted(idempotent=False).tool]) as runtime:
        await begin(runtime)
        await ended(runtime)
        return await recorded(runtime)


def from_file(recording: Recording) -> Recording:
    """As it is read after it was written."""
    return decode_recording(encode_recording(recording))


@pytest.mark.parametrize("name", TURNS)
async def test_a_turn_that_is_run_again_is_the_same(name: str) -> None:
    with anyio.fail_after(10):
        recording = await recording_of(TURNS[name])
        assert isinstance(await rerun(from_file(recording)), int)


async def test_so_is_one_that_was_cancelled_and_one_whose_tool_never_came_to_an_end(tmp_path: Path) -> None:
    held: Sequence[Script] = (
        replies([Text(text="a b "), Hold(gate="never")]),
        replies([Text(text="a b "), Tool(name="count", id="c1")]),
    )
    with anyio.fail_after(10):
        for number, script in enumerate(held):
            folder = tmp_path / str(number)
            folder.mkdir()
            tool: Counted = counted(idempotent=False, holds=True)
            async with company(Stage(demo=script), tools=[tool.tool], config=on_disk(folder)) as runtime:
                await begin(runtime, background=False)
                await run_here(runtime)
                await (tool.running.wait() if number else logged(runtime, TextDelta))
            async with company(Stage(demo=script), config=on_disk(folder)) as runtime:
                assert (await ended(runtime)).status in {"incomplete", "cancelled"}
                recording = from_file(await recorded(runtime))
            assert isinstance(await rerun(recording), int)


async def run_here(runtime: Runtime) -> None:
    """Work on the response, though nobody reads it."""
    record = await runtime.wiring.store.response(ME, ID)
    assert record is not None
    await runtime.system.ref(runtime.wiring.chat).tell(Undertake(record=record))


async def test_so_is_one_that_another_process_went_on_with(tmp_path: Path) -> None:
    tool = counted(idempotent=True)
    first = replies(
        [Text(text="One. "), Tool(name="count", id="c1")], [Text(text="a b "), Hold(gate="never")]
    )
    with anyio.fail_after(10):
        async with company(Stage(demo=first), tools=[tool.tool], config=on_disk(tmp_path)) as runtime:
            await begin(runtime)
            await logged(runtime, ToolFinished)
            while not text_in(await log_of(runtime)).endswith("b "):
                await anyio.lowlevel.checkpoint()
        second = replies([Tool(name="count", id="c1")], [Text(text="Done.")])
        async with company(Stage(demo=second), tools=[tool.tool], config=on_disk(tmp_path)) as runtime:
            assert (await ended(runtime)).status == "completed"
            recording = from_file(await recorded(runtime))
        assert isinstance(await rerun(recording), int)


async def test_what_differs_is_told_with_its_place() -> None:
    with anyio.fail_after(10):
        recording = await recording_of(TURNS["text"])
        *others, last = recording.log
        assert isinstance(last, GenerationStopped)
        wrong = replace(recording, log=(*others, replace(last, stop_reason="max_tokens")))
        found = await rerun(wrong)
    assert isinstance(found, Divergence)
    assert found.number == 9  # the item whose last event tells whether it is complete
    assert b'"status":"incomplete"' in found.recorded
    assert b'"status":"completed"' in found.replayed


async def test_what_cannot_be_recorded_or_read_is_refused() -> None:
    with anyio.fail_after(10):
        async with company(Stage(demo=replies([Hold(gate="never")]))) as runtime:
            with pytest.raises(UnknownResponse):
                await recorded(runtime)
            await begin(runtime)
            with pytest.raises(InvalidRequest, match="not ended"):
                await recorded(runtime)
        recording = await recording_of(TURNS["text"])
        data = encode_recording(recording)
        with pytest.raises(InvalidRequest, match="no end"):
            await rerun(replace(recording, log=recording.log[:-1]))
    lines = data.splitlines(keepends=True)
    with pytest.raises(InvalidRequest, match="line 3 "):
        decode_recording(b"".join((*lines[:2], b"{}\n", *lines[2:])))
    for wrong, words in (
        (b"", "line 1 "),
        (b"{}", "line 1 "),
        (data.replace(b"replay-1", b"replay-9"), "format"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            decode_recording(wrong)
