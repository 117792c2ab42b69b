"""``callboard version``."""

from __future__ import annotations

import platform
from pathlib import Path

from tests.cli.command import callboard


def test_it_prints_one_line_with_the_version_of_python(tmp_path: Path) -> None:
    done = callboard(tmp_path, "version")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("callboard ")
    assert done.stdout.endswith(f"(Python {platform.python_version()})\n")
