"""Patience: one timer for all waits, which looks when it fires and not before."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from callboard.transport.patience import Patience

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """It keeps the time of asyncio's loops."""
    return ("asyncio", {"use_uvloop": request.param})


async def test_what_does_not_come_in_time_is_overdue_once() -> None:
    overdue: list[str] = []
    late = asyncio.Event()

    def second() -> None:
        overdue.append("the second")
        late.set()

    patience = Patience(asyncio.get_running_loop())
    patience.expect(60, lambda: overdue.append("the first"))
    patience.expect(0.01, second)
    with anyio.fail_after(5):
        await late.wait()
    assert overdue == ["the second"]


async def test_a_later_deadline_replaces_an_earlier_one_although_the_timer_fires_before() -> None:
    order: list[str] = []
    late = asyncio.Event()
    loop = asyncio.get_running_loop()

    def overdue() -> None:
        order.append("overdue")
        late.set()

    patience = Patience(loop)
    patience.expect(0.01, lambda: order.append("too early"))
    patience.expect(0.05, overdue)
    loop.call_later(0.03, order.append, "in between")
    with anyio.fail_after(5):
        await late.wait()
    assert order == ["in between", "overdue"]


@pytest.mark.parametrize("ending", ["content", "end"])
async def test_nothing_is_overdue_where_nothing_is_expected_any_more(ending: str) -> None:
    overdue: list[str] = []
    passed = asyncio.Event()
    patience = Patience(asyncio.get_running_loop())
    patience.expect(0.01, lambda: overdue.append("never"))
    getattr(patience, ending)()
    asyncio.get_running_loop().call_later(0.05, passed.set)
    with anyio.fail_after(5):
        await passed.wait()
    assert overdue == []
