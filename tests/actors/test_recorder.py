"""The Recorder: what of a turn is durable when, and what is known of it whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from callboard.actors.archivist import Archivist
from callboard.actors.recorder import Recorder
from callboard.domain.delta import GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.turn_log import LogEvent, TurnBroken, decode_events
from callboard.domain.usage import Usage
from callboard.errors import CallboardError, StoreUnavailable
from callboard.kernel import Child, Supervisor, open_system
from callboard.store import Change, EndResponse, InMemoryStore
from tests.contracts.store_world import T, turn

pytestmark = pytest.mark.anyio

STARTED = GenerationStarted(id="r", model="m")
STOPPED = GenerationStopped(stop_reason="end_turn", usage=Usage())
LOST = TurnBroken(why="failed", error_type="server_error")


def word(text: str) -> TextDelta:
    return TextDelta(index=0, text=text)


class Doubtful(InMemoryStore):
    """A store that commits when it is let, and then or not.

    Attributes:
        open: While it is set, commits go through.
        full: Whether they are refused.
        begun: How many commits it was given.
        ends: The commits that ended a response.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = anyio.Event()
        self.full = False
        self.begun = 0
        self.ends: list[Sequence[Change]] = []

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        self.begun += len(batches)
        self.ends += [batch for batch in batches if isinstance(batch[-1], EndResponse)]
        await self.open.wait()
        if self.full:
            return [StoreUnavailable("full") for _ in batches]
        return await super().commit_all(batches)

    async def log(self) -> list[LogEvent]:
        return [event for each in await self.segments("r") for event in decode_events(each.payload)]


@asynccontextmanager
async def recording(store: Doubtful, *, background: bool = False) -> AsyncIterator[Recorder]:
    child = Child(name="archivist", start=partial(Archivist, store))
    record = replace(turn("r", status="in_progress"), background=background)
    with anyio.fail_after(10):
        async with open_system(Supervisor(name="test", children=(child,))) as system:
            yield Recorder(system.ref(child), record)


async def test_the_last_event_is_written_with_the_end_and_never_before_it() -> None:
    store = Doubtful()
    async with recording(store, background=True) as recorder, anyio.create_task_group() as tasks:
        recorder.add((STARTED,))
        tasks.start_soon(recorder.keep_up)
        await anyio.wait_all_tasks_blocked()
        recorder.add((word("one"),))
        tasks.start_soon(recorder.end, (STOPPED,), "completed", (), 7)
        await anyio.wait_all_tasks_blocked()
        store.open.set()
        while not recorder.ended:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    (changes,) = store.ends
    end = changes[-1]
    assert isinstance(end, EndResponse)
    assert end.segment is not None
    assert decode_events(end.segment.payload)[-1] == STOPPED
    assert await store.log() == [STARTED, word("one"), STOPPED]


@asynccontextmanager
async def half_written(store: Doubtful) -> AsyncIterator[Recorder]:
    """A Recorder of whose log the beginning is durable, and a word waits."""
    store.open.set()
    async with recording(store) as recorder:
        recorder.add((STARTED,))
        await recorder.settle()
        recorder.add((word("one"),))
        yield recorder


async def test_an_end_that_is_refused_leaves_nothing_of_it_in_the_log() -> None:
    store = Doubtful()
    async with half_written(store) as recorder:
        store.full = True
        with pytest.raises(StoreUnavailable):
            await recorder.end((STOPPED,), "completed", (), 7)
        assert not recorder.ended
        store.full = False
        await recorder.end((LOST,), "failed", (), 8)

    assert await store.log() == [STARTED, word("one"), LOST]
    record = await store.response(T, "r")
    assert record is not None
    assert (record.status, record.finished_at_s) == ("failed", 8)


@pytest.mark.parametrize("refused", [False, True])
async def test_whoever_leaves_while_it_is_written_knows_what_came_of_it(refused: bool) -> None:
    store = Doubtful()
    async with half_written(store) as recorder:
        store.open = anyio.Event()

        async def settle() -> None:
            with suppress(StoreUnavailable):
                await recorder.settle()

        async with anyio.create_task_group() as leaving:
            leaving.start_soon(settle)
            await anyio.wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
            store.full = refused
            store.open.set()
        store.full = False
        await recorder.end((LOST,), "cancelled", (), 7)

    assert await store.log() == [STARTED, word("one"), LOST]


async def test_whoever_has_left_writes_nothing_more() -> None:
    store = Doubtful()
    store.open.set()
    async with recording(store) as recorder:
        recorder.add((STARTED,))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await recorder.settle()
        assert (store.begun, recorder.stored) == (0, False)


async def test_whoever_settles_waits_for_what_others_write() -> None:
    store = Doubtful()
    durable: list[int] = []

    async with recording(store) as recorder:

        async def settle() -> None:
            await recorder.settle()
            durable.append(len(await store.log()))

        async with anyio.create_task_group() as tasks:
            for text in ("one", "two"):
                recorder.add((word(text),))
                tasks.start_soon(settle)
                await anyio.wait_all_tasks_blocked()
            store.open.set()
            await anyio.wait_all_tasks_blocked()
            store.open = anyio.Event()
            recorder.add((word("three"),))
            tasks.start_soon(settle)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(settle)  # with nothing of its own
            await anyio.wait_all_tasks_blocked()
            early = len(durable)
            store.open.set()

    assert (early, durable[2:]) == (2, [3, 3])
    assert await store.log() == [word("one"), word("two"), word("three")]
