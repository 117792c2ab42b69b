"""Every test that docs/traceability.md names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", (ROOT / "docs/traceability.md").read_text())))


def test_the_table_names_tests() -> None:
    assert len(NAMED) > 50


@pytest.mark.parametrize("file, name", NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    path = ROOT / file
    assert path.exists()
    if name:
        assert f"def {name}(" in path.read_text()
