"""A disk that fails or is full at any call: nothing is promised, nothing is spoilt, and work goes on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio
import apsw
import pytest

from callboard.errors import StoreUnavailable
from callboard.store import Change
from callboard.store.sqlite import open_sqlite
from callboard.store.sqlite.engine import Place, connect_writer
from callboard.store.sqlite.faults import UNAVAILABLE, unavailable
from callboard.store.sqlite.schema import migrate
from callboard.store.sqlite.writer import Writer
from tests.contracts.store_world import T, append, begin, put, segment
from tests.store.file_systems import Fault, failing
from tests.store.power_loss import contents

KINDS = pytest.mark.parametrize("kind, lasts", [("io", False), ("io", True), ("full", False), ("full", True)])


def commit_number(number: int) -> list[list[Change]]:
    return [
        [begin(f"r{number}", segment(0, text="x" * 9_000)), append("c", number, f"i{number}")],
        [begin(f"s{number}", previous=f"r{number}")],
    ]


@KINDS
def test_whichever_call_fails_a_commit_is_refused_whole_and_the_next_one_works(
    kind: Fault, lasts: bool, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    with failing() as (vfs, faults):
        connection = connect_writer(Place(path=path, vfs=vfs))
        migrate(connection)
        writer = Writer(connection, "somebody", checkpoint_pages=10)
        assert writer.commit([[put("c")]]) == [None]
        refusals, done, at = 0, 0, 1
        while True:
            before = contents(connection)
            faults.arm(at, kind, lasts=lasts)
            outcomes = writer.commit(commit_number(done))
            struck = faults.struck
            faults.disarm()
            if outcomes == [None, None]:
                done += 1  # a checkpoint may fail, and be made up for later
            else:
                assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
                assert contents(connection) == before
                refusals += 1
            assert writer.commit(commit_number(done)) == [None, None]
            done += 1
            if not struck:
                break
            at += 1
        assert refusals >= 5
        held = contents(connection)
        connection.close()
    again = connect_writer(Place(path=path))
    assert again.execute("PRAGMA integrity_check").get == "ok"
    assert contents(again) == held
    assert again.execute("SELECT count(*) FROM responses").get == 2 * done
    again.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind, lasts", [("io", False), ("full", True)])
@pytest.mark.anyio
async def test_whichever_call_fails_while_opening_it_can_be_opened_after(
    kind: Fault, lasts: bool, tmp_path: Path
) -> None:
    at = 1
    with failing() as (vfs, faults), anyio.fail_after(30):
        while True:
            path = tmp_path / f"{at}.db"
            faults.arm(at, kind, lasts=lasts)
            with suppress(StoreUnavailable):
                async with open_sqlite(path, vfs=vfs) as store:
                    await store.commit((begin("r"),))
                    assert await store.response(T, "r") is not None
            struck = faults.struck
            faults.disarm()
            async with open_sqlite(path) as store:
                assert (await store.check()).problems == ()
                await store.commit((begin("s"),))
            if not struck:
                break
            at += 1
    assert at > 10


@pytest.mark.anyio
async def test_a_full_disk_is_said_to_everybody_and_forgotten_once_there_is_room(tmp_path: Path) -> None:
    with failing() as (vfs, faults), anyio.fail_after(10):
        async with open_sqlite(tmp_path / "store.db", vfs=vfs) as store:
            await store.commit((begin("a", status="in_progress"),))
            faults.arm(1, "full", lasts=True)
            with pytest.raises(StoreUnavailable, match="disk is full"):
                await store.commit((begin("b"),))
            outcomes = await store.commit_all([[begin("b")], [begin("a")]])
            assert [str(each) for each in outcomes] == ["The store cannot be used now: its disk is full."] * 2
            faults.disarm()
            assert await store.response(T, "b") is None
            await store.commit((begin("b"),))


def test_what_is_a_bug_of_ours_is_no_excuse() -> None:
    assert not issubclass(apsw.SQLError, UNAVAILABLE)
    assert not issubclass(apsw.ConstraintError, UNAVAILABLE)
    assert "locked" in str(unavailable(apsw.BusyError()))
