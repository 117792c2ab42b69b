"""callboard.whole_file: one file in the place of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.errors import ConfigurationError
from callboard.whole_file import write_whole


def test_what_is_written_takes_the_place_of_what_was_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path, folder = tmp_path / "file", tmp_path / "folder"
    path.write_bytes(b"old")
    folder.mkdir()
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_whole(folder, b"new")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
