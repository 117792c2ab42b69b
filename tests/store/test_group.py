"""Group commit: one call at a time, with everybody who came meanwhile in the next, whoever of them leaves."""

from __future__ import annotations

import asyncio
from itertools import chain

import anyio
import pytest

from callboard.errors import AlreadyExists
from callboard.store.sqlite.group import Batches, GroupCommit, Outcomes
from tests.contracts.store_world import begin

pytestmark = pytest.mark.anyio


class Disk:
    """Writes when it is let.

    Attributes:
        groups: The names of what it was given, group by group.
        place: One write goes through for each release.
        error: What it raises.
    """

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.place = anyio.Semaphore(0)
        self.error: Exception | None = None
        self.writing = 0

    async def write(self, batches: Batches) -> Outcomes:
        self.writing += 1
        assert self.writing == 1
        names = [name_of(batch) for batch in batches]
        self.groups.append(names)
        await self.place.acquire()
        self.writing -= 1
        if self.error is not None:
            raise self.error
        return [AlreadyExists(name) if name == "bad" else None for name in names]


def name_of(batch: object) -> str:
    return str(batch).partition("id='")[2].partition("'")[0]


async def submit(group: GroupCommit, *names: str) -> list[str]:
    outcomes = await group.submit([[begin(name)] for name in names])
    return [type(each).__name__ for each in outcomes]


async def test_what_comes_while_one_group_is_written_goes_into_the_next() -> None:
    disk = Disk()
    group = GroupCommit(disk.write)
    answers: dict[str, list[str]] = {}

    async def ask(*names: str) -> None:
        answers["+".join(names)] = await submit(group, *names)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for names in (["a"], ["b", "bad"], ["c"]):
                tasks.start_soon(ask, *names)
                await anyio.wait_all_tasks_blocked()
            assert disk.groups == [["a"]]
            disk.place.release()
            await anyio.wait_all_tasks_blocked()
            assert answers == {"a": ["NoneType"]}
            disk.place.release()
    assert disk.groups == [["a"], ["b", "bad", "c"]]
    assert answers == {"a": ["NoneType"], "b+bad": ["NoneType", "AlreadyExists"], "c": ["NoneType"]}


@pytest.mark.parametrize("leaver", ["a", "b", "c"])
async def test_whoever_leaves_nobody_is_forgotten(leaver: str) -> None:
    disk = Disk()
    group = GroupCommit(disk.write)
    done: list[str] = []
    scopes = {name: anyio.CancelScope() for name in "abcd"}

    async def ask(name: str) -> None:
        with scopes[name]:
            await submit(group, name)
            done.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(ask, name)
                await anyio.wait_all_tasks_blocked()
            scopes[leaver].cancel()
            await anyio.wait_all_tasks_blocked()
            disk.place.release()
            disk.place.release()
    stayed = [name for name in "abcd" if name != leaver]
    assert sorted(name for name in done if name != leaver) == stayed
    # The leader is shielded; who had not begun has done nothing.
    assert sorted(chain.from_iterable(disk.groups)) == (list("abcd") if leaver == "a" else stayed)


async def test_the_lead_passes_on_when_its_next_holder_leaves_as_it_is_offered() -> None:
    disk = Disk()
    group = GroupCommit(disk.write)
    scope = anyio.CancelScope()

    async def leaves() -> None:
        with scope:
            await submit(group, "b")

    async def first() -> None:
        await submit(group, "a")
        scope.cancel()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for work in (first, leaves):
                tasks.start_soon(work)
                await anyio.wait_all_tasks_blocked()
            tasks.start_soon(submit, group, "c")
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                disk.place.release()
        assert await submit(group, "d") == ["NoneType"]


async def test_a_bug_reaches_all_of_the_group_and_none_of_the_next() -> None:
    disk = Disk()
    group = GroupCommit(disk.write)
    failed: list[str] = []

    async def ask(name: str) -> None:
        try:
            await submit(group, name)
        except ZeroDivisionError:
            failed.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(ask, name)
                await anyio.wait_all_tasks_blocked()
            disk.place.release()
            await anyio.wait_all_tasks_blocked()
            disk.error = ZeroDivisionError()
            disk.place.release()
        assert failed == ["b", "c"]
        disk.error = None
        disk.place.release()
        assert await submit(group, "d") == ["NoneType"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_lead_passes_on_when_its_next_holder_is_cancelled_as_it_gets_it() -> None:
    disk = Disk()
    group = GroupCommit(disk.write)
    with anyio.fail_after(5):
        # anyio's own scopes do not cancel a task that is about to wake; asyncio's `cancel` does.
        async def first() -> None:
            await submit(group, "a")
            second.cancel()

        leader = asyncio.create_task(first())
        await anyio.wait_all_tasks_blocked()
        second = asyncio.create_task(submit(group, "b"))
        await anyio.wait_all_tasks_blocked()
        third = asyncio.create_task(submit(group, "c"))
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            disk.place.release()
        await leader
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await third == ["NoneType"]
    assert disk.groups == [["a"], ["c"]]
