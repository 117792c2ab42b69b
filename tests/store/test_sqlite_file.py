"""The file: who may read it, what survives closing it, what it says when it cannot be used, its copies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio
import apsw
import pytest

from callboard.errors import ConfigurationError, StoreUnavailable
from callboard.store import DeleteResponse, RememberReply, Store
from callboard.store.sqlite import open_sqlite
from callboard.store.sqlite.engine import loses_commits, refuse_lossy_sqlite, sqlite_version
from tests.contracts.store_world import T, append, begin, end, found, item, link, put, reply, segment, turn

pytestmark = pytest.mark.anyio


def modes_in(directory: Path) -> dict[str, int]:
    return {each.name.partition("-owner")[0]: each.stat().st_mode & 0o777 for each in directory.iterdir()}


@pytest.mark.parametrize(
    "version, lossy",
    [
        ("3.6.23", False),
        ("3.7.0", True),
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.45.0", True),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.0", True),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.54.1", False),
    ],
)
def test_versions_of_sqlite_that_lose_commits_are_refused(version: str, lossy: bool) -> None:
    numbers = tuple(int(part) for part in version.split("."))
    assert loses_commits(numbers) is lossy
    if lossy:
        with pytest.raises(ConfigurationError, match=f"SQLite {version} can lose"):
            refuse_lossy_sqlite(numbers)


def test_the_sqlite_in_use_is_none_of_them() -> None:
    refuse_lossy_sqlite(sqlite_version())


async def test_everything_is_still_there_after_closing_and_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path) as store:
            await store.commit((begin("a", segment(0)), begin("b", previous="a"), put("c")))
            await store.commit((append("c", 0, "i"), RememberReply(reply=reply("k"))))
            before = await store.check()
        assert list(modes_in(tmp_path)) == ["store.db"]
        async with open_sqlite(path) as store:
            assert await store.check() == before
            assert await store.chain(T, "b") == (link("a"), link("b"))
            assert await found(store, "b") == turn("b", previous="a")
            assert await store.segments("a") == [segment(0)]
            assert await store.items(T, "c") == [item("i")]
            assert await store.reply(T, "k") == reply("k")


async def test_the_files_are_their_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path) as store:
            await store.commit((begin("r"),))
            await store.backup(tmp_path / "copy.db")
            files = modes_in(path.parent)
            assert files == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm"], 0o600)
    assert [each.stat().st_mode & 0o777 for each in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch(0o644)
    with anyio.fail_after(10):
        async with open_sqlite(path):
            assert path.stat().st_mode & 0o777 == 0o600


async def test_deleted_text_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path) as store:
            await store.commit((begin("r", segment(0, text="tell nobody " * 2_000)),))
        assert b"tell nobody" in path.read_bytes()
        async with open_sqlite(path) as store:
            await store.commit((DeleteResponse(tenant=T, id="r"),))
        assert b"tell nobody" not in path.read_bytes()


# What cannot be used.


async def test_a_place_where_nothing_can_be_made_is_one_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreUnavailable, match=r"file/store\.db: The store cannot be used now: its disk fails"
    ):
        async with open_sqlite(tmp_path / "file" / "store.db"):
            pass


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"shopping list\n" * 1000)
    with pytest.raises(StoreUnavailable, match="its file is no database"):
        async with open_sqlite(path):
            pass
    assert path.read_bytes() == b"shopping list\n" * 1000
    assert list(modes_in(tmp_path)) == ["store.db"]


async def test_a_damaged_file_is_noticed_and_kills_nobody(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(20):
        async with open_sqlite(path) as store:
            await store.commit(tuple(begin(f"r{n}", segment(0, text="x" * 500)) for n in range(200)))
        image = bytearray(path.read_bytes())
        for page in range(20, len(image) // 4096, 3):
            image[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        path.write_bytes(image)
        async with open_sqlite(path) as store:
            with pytest.raises(StoreUnavailable, match="its file is damaged"):
                for number in range(200):
                    await store.response(T, f"r{number}")
            assert await _is_reported(store)


async def _is_reported(store: Store) -> bool:
    try:
        report = await store.check()
    except StoreUnavailable as refusal:
        return "damaged" in str(refusal)
    return report.problems != ()


async def test_a_store_that_others_hold_locked_waits_and_then_refuses(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with open_sqlite(path, busy_timeout_s=0.05) as store:
            other = apsw.Connection(str(path))
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="others hold it locked"):
                await store.commit((begin("r"),))
            assert await store.response(T, "r") is None
            other.close()
            await store.commit((begin("r"),))


async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with open_sqlite(tmp_path / "store.db") as store:
            await store.response(T, "r")
        await store.aclose()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.commit((begin("r"),))
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.response(T, "r")
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.claim_orphans()


async def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, open_sqlite(path) as store:
            await store.commit((begin("first"),))
            for number in range(20):
                tasks.start_soon(_commit_or_refused, store, number)
                tasks.start_soon(_read_or_refused, store)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        async with open_sqlite(path) as store:
            assert (await store.check()).problems == ()


async def _commit_or_refused(store: Store, number: int) -> None:
    with suppress(StoreUnavailable):
        await store.commit((begin(f"r{number}"),))


async def _read_or_refused(store: Store) -> None:
    with suppress(StoreUnavailable):
        assert await store.response(T, "first") is not None


# Copies.


async def test_a_backup_under_load_is_sound_and_holds_a_prefix_of_what_was_done(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with anyio.fail_after(20):
        async with open_sqlite(tmp_path / "store.db") as store:
            done = 0

            async def commit_on() -> None:
                nonlocal done
                while True:
                    await store.commit((begin(f"r{done}", segment(0, text="x" * 3000)),))
                    done += 1

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(commit_on)
                for _ in range(4):
                    at_least = done
                    await store.backup(copy)
                    async with open_sqlite(copy) as other:
                        report = await other.check()
                        assert report.problems == ()
                        assert at_least <= report.responses <= done + 1
                        for number in range(report.responses):
                            assert await other.segments(f"r{number}") == [segment(0, text="x" * 3000)]
                tasks.cancel_scope.cancel()
    assert not (tmp_path / "copy.db.part").exists()


async def test_a_backup_that_cannot_be_written_leaves_the_last_one(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with open_sqlite(tmp_path / "store.db") as store:
            (tmp_path / "copy.db.part").mkdir()
            (tmp_path / "copy.db").write_text("the last one")
            with pytest.raises(StoreUnavailable):
                await store.backup(tmp_path / "copy.db")
            assert (tmp_path / "copy.db").read_text() == "the last one"
            await store.commit((begin("r", status="in_progress"), end("r", 0)))
