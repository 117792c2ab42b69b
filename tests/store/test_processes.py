"""Several processes, and such as are killed: what they were promised is there, each commit whole and once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from callboard.store import Store
from callboard.store.sqlite import open_sqlite
from tests.contracts.store_world import T
from tests.store.test_owners import owners_of
from tests.store.writing_process import CLIENTS, changes_of

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent


@contextmanager
def writing(path: Path, name: str, commits: int | None = None) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(path), name, *([] if commits is None else [str(commits)])]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writing_process", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def promised(process: subprocess.Popen[str], count: int) -> list[str]:
    """The first ``count`` commits that it reports, and what it reports until it is dead after that."""
    assert process.stdout is not None
    first = [process.stdout.readline().strip() for _ in range(count)]
    process.kill()
    rest = process.stdout.read()
    return first + [line for line in rest.split("\n")[:-1] if line]


async def assert_whole(store: Store, acknowledged: list[str]) -> set[str]:
    """Check that what was promised is there; returns all that is."""
    assert (await store.check()).problems == ()
    there: set[str] = set()
    for name in acknowledged:
        assert await store.response(T, name) is not None, f"{name} is lost"
    for client in {name.partition(".")[0] for name in acknowledged}:
        number = 0
        while (record := await store.response(T, f"{client}.{number}")) is not None:
            first, *others = changes_of(record.id, client, number)
            segments = await store.segments(record.id)
            assert getattr(first, "segments", None) == tuple(segments)
            assert (await store.reply(T, record.id) is not None) == bool(others)
            assert (await store.item(T, client, record.id) is not None) == bool(others)
            assert len(await store.chain(T, record.id)) == (1 if not others else number % 10 + 1)
            there.add(record.id)
            number += 1
    return there


async def _kill_and_look(path: Path, name: str, after: int) -> None:
    with writing(path, name) as process:
        acknowledged = await anyio.to_thread.run_sync(promised, process, after)
    async with open_sqlite(path) as store:
        there = await assert_whole(store, acknowledged)
        assert len(there) <= len(acknowledged) + CLIENTS
        live = {each for each in there if int(each.partition(".")[2]) % 10 == 9}
        assert {each.id for each in await store.claim_orphans(10**6) if each.id in there} == live


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("after", [1, 45, 150])
async def test_what_a_killed_process_was_promised_is_there_and_its_live_ones_are_orphans(
    after: int, tmp_path: Path
) -> None:
    with anyio.fail_after(30):
        await _kill_and_look(tmp_path / "store.db", "k", after)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_processes_write_at_once_and_both_are_heard(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with anyio.fail_after(60), writing(path, "a", 40) as one, writing(path, "b", 40) as two:
        outputs = [await anyio.to_thread.run_sync(each.communicate) for each in (one, two)]
        acknowledged = [line for out, _ in outputs for line in out.split()]
        assert (one.returncode, two.returncode) == (0, 0)
        assert len(acknowledged) == 2 * CLIENTS * 40
        async with open_sqlite(path) as store:
            assert await assert_whole(store, acknowledged) == set(acknowledged)
            assert len(await store.claim_orphans(1_000)) == 2 * CLIENTS * 4
    assert owners_of(path) == []


@pytest.mark.soak
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_forty_processes_killed_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    for number in range(40):
        with anyio.fail_after(60):
            await _kill_and_look(tmp_path / "store.db", f"k{number}-", 1 + number * 7)
