"""docs/chats.md maps all fifty acceptance criteria of the first edition to tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "chats.md").read_text()
ROWS = re.findall(r"^\| ([1-7])\.(\d) \|.*\| (`tests/.*`) \|$", TEXT, re.MULTILINE)
COUNTS = {"1": 6, "2": 8, "3": 7, "4": 7, "5": 7, "6": 8, "7": 7}


def test_every_criterion_of_every_requirement_has_a_row() -> None:
    wanted = [(kind, str(number + 1)) for kind, count in COUNTS.items() for number in range(count)]
    assert [(kind, number) for kind, number, _ in ROWS] == wanted
    assert len(wanted) == 50


def test_every_test_that_is_named_exists() -> None:
    named = {name for *_, tests in ROWS for name in re.findall(r"`([^`]+)`", tests)}
    assert len(named) > 30
    for name in named:
        file, _, test = name.partition("::")
        assert re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), name
