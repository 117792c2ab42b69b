"""The file with the secret: whose it is, and that there is only ever one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callboard.errors import StoreUnavailable
from callboard.store import PutKey
from callboard.store.sqlite import open_sqlite
from callboard.store.sqlite.key_secret import key_secret
from tests.contracts.store_keys import key


def test_it_is_its_users_alone_and_stays(tmp_path: Path) -> None:
    found = key_secret(tmp_path / "state.db")
    (file,) = tmp_path.iterdir()
    assert file.name == "state.db-key-secret"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    assert key_secret(tmp_path / "state.db") == found == file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


def test_of_many_that_make_it_at_once_one_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: key_secret(tmp_path / "state.db"), range(32)))
    assert len(found) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["state.db-key-secret"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_one_that_is_not_whole_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.db-key-secret"
    file.write_bytes(content)
    with pytest.raises(OSError, match="not the file"):
        key_secret(tmp_path / "state.db")
    assert file.read_bytes() == content


@pytest.mark.anyio
async def test_the_store_says_so_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "state.db-key-secret").write_bytes(b"short")
    async with open_sqlite(tmp_path / "state.db") as store:
        with pytest.raises(StoreUnavailable):
            await store.key_secret()


@pytest.mark.anyio
async def test_no_copy_of_the_database_holds_it(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "state.db") as store:
        secret = await store.key_secret()
        await store.commit((PutKey(key=key("a")),))
        await store.backup(tmp_path / "copy.db")
    for name in ("state.db", "copy.db"):
        assert secret not in (tmp_path / name).read_bytes()
    async with open_sqlite(tmp_path / "state.db") as again:
        assert await again.key_secret() == secret
