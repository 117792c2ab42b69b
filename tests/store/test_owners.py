"""Live responses whose store is gone are taken over, each by one of those that are open."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from callboard.store import DeleteResponse, ResponseRecord, Store
from callboard.store.sqlite import open_sqlite
from tests.contracts.store_world import NOW, T, begin, end

pytestmark = pytest.mark.anyio


def owners_of(path: Path) -> list[Path]:
    """The files by which open stores say that they are alive."""
    return list(path.parent.glob("*owner*"))


async def test_what_a_closed_store_left_alive_is_claimed_once_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path) as gone:
            await gone.commit(
                (
                    *(begin(f"r{n}", status="in_progress", at_s=NOW - n) for n in range(6)),
                    begin("done"),
                    begin("deleted", status="queued"),
                    DeleteResponse(tenant=T, id="deleted"),
                )
            )
        async with open_sqlite(path) as store, open_sqlite(path) as other:
            assert await store.claim_orphans(0) == []
            first = await store.claim_orphans(2)
            assert [each.id for each in first] == ["r5", "r4"]
            assert await store.response(T, "r5") == first[0]
            assert [each.id for each in await other.claim_orphans()] == ["r3", "r2", "r1", "r0"]
            assert await store.claim_orphans() == await other.claim_orphans() == []
            owners = {each.owner for each in first}
            assert len(owners) == 1
            await store.commit((end("r5", 0),))


async def test_several_that_claim_at_once_share_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(20):
        async with open_sqlite(path) as gone:
            await gone.commit(tuple(begin(f"r{n}", status="queued") for n in range(40)))
        claimed: list[ResponseRecord] = []

        async def claim(store: Store) -> None:
            while some := await store.claim_orphans(3):
                claimed.extend(some)

        async with (
            open_sqlite(path) as one,
            open_sqlite(path) as two,
            open_sqlite(path) as three,
            anyio.create_task_group() as tasks,
        ):
            for store in (one, two, three):
                tasks.start_soon(claim, store)
    assert sorted(each.id for each in claimed) == sorted(f"r{n}" for n in range(40))


async def test_what_an_open_store_keeps_alive_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path) as store:
            await store.commit((begin("r", status="queued"),))
            async with open_sqlite(path) as other:
                assert await other.claim_orphans() == []
        assert owners_of(path) == []
        async with open_sqlite(path) as other:
            assert [each.id for each in await other.claim_orphans()] == ["r"]
