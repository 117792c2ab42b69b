"""Work in steps: at once, or with others' work in between."""

from __future__ import annotations

from collections.abc import Generator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from callboard.domain.steps import at_once, in_turns

pytestmark = pytest.mark.anyio


def counting(seen: list[int]) -> Generator[None, None, str]:
    for number in range(5):
        seen.append(number)
        yield
    return "result"


def test_at_once_takes_all_steps() -> None:
    seen: list[int] = []
    assert at_once(counting(seen)) == "result"
    assert seen == [0, 1, 2, 3, 4]


async def test_between_two_steps_others_have_their_turn() -> None:
    seen: list[int] = []
    noticed: set[int] = set()

    async def look() -> None:
        while True:
            noticed.add(len(seen))
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await checkpoint()
        assert await in_turns(counting(seen)) == "result"
        tasks.cancel_scope.cancel()
    assert len(noticed) >= 4


async def test_work_that_is_cancelled_stops_between_two_steps() -> None:
    seen: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await in_turns(counting(seen))
    assert seen == [0]
