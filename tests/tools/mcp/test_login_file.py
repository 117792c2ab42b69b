"""The file of one login, which several processes may read and write."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from callboard.tools.mcp.login_file import Kept, LoginFile
from callboard.tools.source import SourceUnavailable

pytestmark = pytest.mark.anyio

URL = "https://example.com/mcp"
ONE = Kept(url=URL, tokens={"access_token": "s3cret"}, expires_at=7.5)
OTHER = Kept(url=URL, tokens={"access_token": "another"})


async def test_it_is_read_as_it_was_written_and_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "far.json"
    with anyio.fail_after(5):
        await LoginFile("far", URL, path).write(ONE, anyway=False)
        assert await LoginFile("far", URL, path).read() == ONE
        assert await LoginFile("far", f"{URL}2", path).read() == Kept(url=f"{URL}2")
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o600, 0o700]
    assert "s3cret" not in repr(ONE)


async def test_what_another_has_written_meanwhile_stays_unless_this_is_a_login(tmp_path: Path) -> None:
    path = tmp_path / "far.json"
    mine, theirs = LoginFile("far", URL, path), LoginFile("far", URL, path)
    with anyio.fail_after(5):
        await mine.write(ONE, anyway=False)
        assert not mine.replaced()
        assert theirs.replaced()
        await theirs.write(OTHER, anyway=False)
        await theirs.remove()
        assert await theirs.read() == ONE
        await theirs.write(OTHER, anyway=False)
        assert mine.replaced()
        await mine.write(ONE, anyway=False)
        assert await mine.read() == OTHER
        await theirs.write(ONE, anyway=False)
        await mine.write(OTHER, anyway=True)
        assert await theirs.read() == OTHER
        await theirs.remove()
        assert await mine.read() == Kept(url=URL)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"url": 1}', "[" * 100_000])
async def test_one_that_is_damaged_is_said_to_be(tmp_path: Path, content: str) -> None:
    path = tmp_path / "far.json"
    path.write_text(content)
    with anyio.fail_after(5), pytest.raises(SourceUnavailable, match=r"it is damaged\): log in with"):
        await LoginFile("far", URL, path).read()


async def test_one_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    path = tmp_path / "state" / "far.json"
    with anyio.fail_after(5):
        with pytest.raises(SourceUnavailable, match="cannot be written"):
            await LoginFile("far", URL, path).write(ONE, anyway=True)
        with pytest.raises(SourceUnavailable, match="cannot be read"):
            await LoginFile("far", URL, path).read()


async def test_without_a_file_nothing_is_kept() -> None:
    file = LoginFile("far", URL, None)
    with anyio.fail_after(5):
        await file.write(ONE, anyway=True)
        await file.remove()
        assert await file.read() == Kept(url=URL)
    assert not file.replaced()
