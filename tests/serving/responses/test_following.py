"""Who follows a response is woken by what is written to it, and looks by himself but rarely."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.delta import BlockStarted, TextDelta
from callboard.domain.turn_log import LogEvent, TurnBroken, encode_events
from callboard.errors import NotFound
from callboard.serving.responses.following import LONGEST_LOOK_S, LOOK_AGAIN_S, OWN_LOOK_S, coming
from callboard.store import AppendEvents, BeginResponse, DeleteResponse, EndResponse, Segment
from callboard.store.in_memory import InMemoryStore
from callboard.store.records import ResponseRecord
from callboard.store.watch import Watch
from tests.contracts.store_world import T, turn
from tests.simulation.loops import run_on_asyncio, run_on_trio

Run = Callable[[Callable[[], Awaitable[None]], int], None]
in_virtual_time = pytest.mark.parametrize("run", [run_on_asyncio, run_on_trio])
FOLLOWERS = 100
LONG_S = 300


class CountingStore(InMemoryStore):
    """Counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.somebody_elses = False

    @property
    def owner(self) -> str:
        return "another" if self.somebody_elses else super().owner

    async def segments(self, response_id: str, after: int = -1, limit: int = 100) -> list[Segment]:
        self.reads += 1
        return await super().segments(response_id, after, limit)

    async def response(self, tenant: str, response_id: str) -> ResponseRecord | None:
        self.reads += 1
        return await super().response(tenant, response_id)


def words(first: int, *events: LogEvent) -> Segment:
    return Segment(first=first, count=len(events), payload=encode_events(events))


def append(first: int) -> AppendEvents:
    return AppendEvents(
        response_id="r", expected_version=first, segment=words(first, TextDelta(index=0, text="so"))
    )


END = EndResponse(
    response_id="r",
    expected_version=2,
    segment=words(2, TurnBroken(why="cancelled")),
    status="cancelled",
    produced=(),
    finished_at_s=1,
)


class World:
    """A live response, and those who follow it.

    Attributes:
        seen: When each follower saw how many events.
        ended: How many came to the end.
    """

    def __init__(self) -> None:
        self.store = CountingStore()
        self.watch = Watch()
        self.record = turn("r", status="in_progress")
        self.seen: list[tuple[float, int]] = []
        self.ended = 0

    async def begin(self) -> None:
        begun = words(0, BlockStarted(index=0, block=TextBlock(text="")))
        await self.store.commit((BeginResponse(record=self.record, segments=(begun,)),))

    async def follow(self) -> None:
        async for events in coming(self.store, self.watch, self.record):
            self.seen.append((anyio.current_time(), len(events)))
        self.ended += 1


@in_virtual_time
def test_a_hundred_who_wait_for_long_look_a_few_times_a_minute_and_are_woken_at_once(run: Run) -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        async with anyio.create_task_group() as tasks:
            for _ in range(FOLLOWERS):
                tasks.start_soon(world.follow)
            await anyio.sleep(LONG_S)
            assert len(world.seen) == FOLLOWERS
            assert world.store.reads <= FOLLOWERS * 2 * (LONG_S / OWN_LOOK_S + 2)
            world.seen.clear()
            for change in (append(1), END):
                await world.store.commit((change,))
                written = anyio.current_time()
                world.watch.written("r")
                await anyio.sleep(0.001)
                assert world.seen == [(written, 1)] * FOLLOWERS
                world.seen.clear()
            assert world.ended == FOLLOWERS

    run(main, 1)


@in_virtual_time
def test_what_another_process_writes_is_seen_soon_after_the_last_and_a_little_later_after_a_pause(
    run: Run,
) -> None:
    async def main() -> None:
        world = World()
        world.store.somebody_elses = True
        await world.begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.follow)
            await anyio.sleep(LONG_S)
            await world.store.commit((append(1),))
            written = anyio.current_time()
            while len(world.seen) < 2:
                await anyio.sleep(0.01)
            assert anyio.current_time() <= written + LONGEST_LOOK_S + 0.02
            written = anyio.current_time()
            await world.store.commit((END,))
            await anyio.sleep(LOOK_AGAIN_S + 0.001)
            assert written <= world.seen[-1][0] <= written + LOOK_AGAIN_S
            assert world.ended == 1

    run(main, 1)


@in_virtual_time
@pytest.mark.parametrize("told", [True, False])
def test_who_follows_what_is_deleted_is_told_so(run: Run, told: bool) -> None:
    async def main() -> None:
        world = World()
        await world.begin()

        async def follow() -> None:
            with pytest.raises(NotFound):
                await world.follow()
            world.ended += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.sleep(LONG_S)
            await world.store.commit((DeleteResponse(tenant=T, id="r"),))
            if told:
                world.watch.written("r")
            await anyio.sleep(0.001 if told else OWN_LOOK_S)
            assert world.ended == 1

    run(main, 1)


@in_virtual_time
def test_a_write_between_looking_and_waiting_is_not_missed(run: Run) -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        watch = world.watch

        class Late(CountingStore):
            """What is written while its answer is on the way is not in it."""

            async def segments(self, response_id: str, after: int = -1, limit: int = 100) -> list[Segment]:
                found = await super().segments(response_id, after, limit)
                if after == 0 and not found:
                    await self.commit(
                        (replace(END, expected_version=1, segment=words(1, TurnBroken(why="lost"))),)
                    )
                    watch.written("r")
                return found

        late = Late()
        vars(late).update(vars(world.store))
        world.store = late
        since = anyio.current_time()
        await world.follow()
        assert world.ended == 1
        assert anyio.current_time() == since

    run(main, 1)
