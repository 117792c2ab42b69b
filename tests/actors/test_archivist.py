"""The Archivist commits together what comes together, and answers each for itself once it is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

from callboard.actors.archivist import LARGEST_GROUP, MOST_TURNS, Archivist, Commit
from callboard.errors import ActorFailed, AlreadyExists, CallboardError, StoreUnavailable
from callboard.kernel import ActorRef, Child, Supervisor, System, open_system
from callboard.store import Change, InMemoryStore
from tests.contracts.store_world import T, begin

pytestmark = pytest.mark.anyio


class SlowStore(InMemoryStore):
    """A store that commits only when it is let; and fails as it is told.

    Attributes:
        groups: The size of each group it was given.
        open: While it is set, commits go through.
        error: What the next group raises.
        full: Whether its disk is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.open = anyio.Event()
        self.error: Exception | None = None
        self.full = False

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        self.groups.append(len(batches))
        await self.open.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if self.full:
            return [StoreUnavailable("full") for _ in batches]
        return await super().commit_all(batches)


@asynccontextmanager
async def archivist(store: SlowStore) -> AsyncIterator[tuple[ActorRef[Archivist], System]]:
    child = Child(name="archivist", start=partial(Archivist, store))
    with anyio.fail_after(10):
        async with open_system(Supervisor(name="test", children=(child,))) as system:
            yield system.ref(child), system


def commit(name: str) -> Commit:
    return Commit(changes=(begin(name),))


async def test_who_asks_a_moment_later_comes_along() -> None:
    store = SlowStore()
    store.open.set()
    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        tasks.start_soon(ref.ask, commit("resp_1"))
        await checkpoint()
        tasks.start_soon(ref.ask, commit("resp_2"))
    assert store.groups == [2]


async def coming_one_a_turn(count: int) -> list[int]:
    """How commits are grouped of which each turn of the event loop brings one."""
    store = SlowStore()
    store.open.set()
    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(ref.ask, commit(f"resp_{number}"))
            await checkpoint()
    return store.groups


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the others give turns in no order
async def test_a_group_is_written_when_nobody_comes_any_more(anyio_backend: str) -> None:
    assert await coming_one_a_turn(MOST_TURNS // 2) == [MOST_TURNS // 2]


async def test_nobody_waits_for_ever_for_those_who_still_come() -> None:
    groups = await coming_one_a_turn(4 * MOST_TURNS)

    assert sum(groups) == 4 * MOST_TURNS
    assert max(groups) < 2 * MOST_TURNS


async def test_a_commit_is_answered_when_the_store_has_done_it_and_not_before() -> None:
    store = SlowStore()
    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        answered = anyio.Event()

        async def ask() -> None:
            assert await ref.ask(commit("r")) is None  # type: ignore[func-returns-value] # that is the answer
            answered.set()

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert not answered.is_set()
        assert await store.response(T, "r") is None
        store.open.set()
        await answered.wait()
        assert await store.response(T, "r") is not None


async def test_what_comes_while_a_group_is_written_makes_the_next() -> None:
    store = SlowStore()
    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        for number in range(41):
            tasks.start_soon(ref.ask, commit(f"r{number}"))
            if number == 0:
                await anyio.wait_all_tasks_blocked()
        await anyio.wait_all_tasks_blocked()
        assert store.groups == [1]
        store.open.set()
    assert store.groups == [1, 40]
    assert (await store.check()).responses == 41


async def test_each_of_a_group_gets_its_own_answer() -> None:
    store = SlowStore()
    answers: dict[str, str] = {}

    async def ask(ref: ActorRef[Archivist], name: str, changes: tuple[Change, ...]) -> None:
        try:
            await ref.ask(Commit(changes=changes))
            answers[name] = "done"
        except CallboardError as error:
            answers[name] = type(error).__name__

    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        tasks.start_soon(ref.ask, commit("first"))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, ref, "b", (begin("b"),))
        tasks.start_soon(ask, ref, "twice", (begin("c"), begin("first")))
        tasks.start_soon(ask, ref, "orphan", (begin("d", previous="c"),))
        await anyio.wait_all_tasks_blocked()
        store.open.set()
    assert answers == {"b": "done", "twice": "AlreadyExists", "orphan": "UnknownResponse"}


async def test_an_asker_that_leaves_takes_nothing_back() -> None:
    store = SlowStore()
    async with archivist(store) as (ref, _):
        async with anyio.create_task_group() as tasks:
            for name in ("being written", "waiting"):
                tasks.start_soon(ref.ask, commit(name))
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        store.open.set()
        await ref.ask(commit("later"))
        assert [name for name in ("being written", "waiting") if await store.response(T, name) is None] == []


async def test_a_slow_disk_makes_askers_wait_instead_of_growing_the_group() -> None:
    store = SlowStore()
    many = 2 * LARGEST_GROUP
    async with archivist(store) as (ref, _), anyio.create_task_group() as tasks:
        for number in range(many):
            tasks.start_soon(ref.ask, commit(f"r{number}"))
        await anyio.wait_all_tasks_blocked()
        store.open.set()
    assert max(store.groups) == LARGEST_GROUP
    assert sum(store.groups) == many


async def test_a_full_disk_is_each_askers_refusal_and_the_next_commit_works() -> None:
    store = SlowStore()
    store.open.set()
    async with archivist(store) as (ref, _):
        store.full = True
        with pytest.raises(StoreUnavailable):
            await ref.ask(commit("r"))
        store.full = False
        await ref.ask(commit("r"))
        with pytest.raises(AlreadyExists):
            await ref.ask(commit("r"))


async def test_a_bug_in_the_store_fails_those_who_waited_and_the_next_incarnation_works() -> None:
    store = SlowStore()
    store.error = ZeroDivisionError()
    async with archivist(store) as (ref, _):
        async with anyio.create_task_group() as tasks:

            async def fails() -> None:
                with pytest.raises(ActorFailed):
                    await ref.ask(commit("r"))

            tasks.start_soon(fails)
            await anyio.wait_all_tasks_blocked()
            store.open.set()
        await ref.ask(commit("s"))
        assert await store.response(T, "s") is not None


async def test_a_drain_finishes_what_was_asked_for() -> None:
    store = SlowStore()
    async with archivist(store) as (ref, system), anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(ref.ask, commit(name))
            await anyio.wait_all_tasks_blocked()
        tasks.start_soon(partial(system.drain, grace=5))
        await anyio.wait_all_tasks_blocked()
        store.open.set()
    assert (await store.check()).responses == 3
