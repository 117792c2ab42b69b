"""Threads that may never end."""

from __future__ import annotations

import functools
import threading

import anyio
import pytest
from anyio import from_thread, to_thread

from callboard.errors import ToolError
from callboard.tools.threads import Threads

pytestmark = pytest.mark.anyio


class Blocker:
    """A function that ends when it is let."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.release = threading.Event()
        self.ended = threading.Event()
        self.given_up = 0

    def block(self) -> str:
        from_thread.run_sync(self.started.set)
        self.release.wait(5)
        return "done"

    def lost(self) -> None:
        self.given_up += 1


async def give_up(threads: Threads, blocker: Blocker) -> None:
    """Begin a call and leave it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(functools.partial(threads.run, blocker.block, on_given_up=blocker.lost))
        await blocker.started.wait()
        tasks.cancel_scope.cancel()


async def test_a_function_runs_and_its_result_or_error_comes_back() -> None:
    threads, blocker = Threads(), Blocker()
    with anyio.fail_after(5):
        assert await threads.run(lambda: 7, on_given_up=blocker.lost) == 7
        with pytest.raises(KeyError):
            await threads.run({}.popitem, on_given_up=blocker.lost)
    assert blocker.given_up == 0


async def test_no_more_run_at_once_than_may() -> None:
    threads, first = Threads(at_once=1), Blocker()
    results: list[str] = []

    async def call(function: functools.partial[str] | None = None) -> None:
        results.append(await threads.run(function or first.block, on_given_up=first.lost))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await first.started.wait()
            tasks.start_soon(call, functools.partial(str, "second"))
            await anyio.wait_all_tasks_blocked()
            assert results == []
            first.release.set()
    assert results == ["done", "second"]


async def test_calls_that_were_given_up_and_run_on_are_bounded() -> None:
    threads, blocker = Threads(given_up=1), Blocker()
    with anyio.fail_after(5):
        await give_up(threads, blocker)
        assert blocker.given_up == 1
        with pytest.raises(ToolError, match="Not run: 1 earlier calls did not end in time"):
            await threads.run(lambda: 7, on_given_up=blocker.lost)
        blocker.release.set()
        while True:  # until the thread has noticed
            try:
                assert await threads.run(lambda: 7, on_given_up=blocker.lost) == 7
                break
            except ToolError:
                await to_thread.run_sync(threading.Event().wait, 0.001)
    assert blocker.given_up == 1


async def test_a_call_that_never_began_was_not_given_up() -> None:
    threads, blocker, waiting = Threads(at_once=1, given_up=1), Blocker(), Blocker()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(functools.partial(threads.run, blocker.block, on_given_up=blocker.lost))
            await blocker.started.wait()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await threads.run(waiting.block, on_given_up=waiting.lost)
            blocker.release.set()
    assert (blocker.given_up, waiting.given_up) == (0, 0)
    assert not waiting.started.is_set()
