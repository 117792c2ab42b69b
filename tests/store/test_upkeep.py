"""Pruning deletes only what is still as it was when it was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.store import Change, RetentionPolicy
from callboard.store.sqlite.engine import Place, connect_writer
from callboard.store.sqlite.schema import migrate
from callboard.store.sqlite.upkeep import plan_pruning, prune
from callboard.store.sqlite.writer import Writer
from tests.contracts.store_world import NOW, append, begin, put


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    connection = connect_writer(Place(path=tmp_path / "store.db"))
    migrate(connection)
    yield Writer(connection, "somebody")
    connection.close()


def test_what_went_on_since_it_was_chosen_stays(writer: Writer) -> None:
    assert writer.commit([[begin("a"), begin("b"), begin("c"), put("x"), put("y")]]) == [None]
    units = plan_pruning(writer.connection, RetentionPolicy(max_age_s=0), NOW + 1)
    assert len(units) == 5
    goes_on: list[Change] = [begin("a2", previous="a"), begin("b2", previous="b", status="in_progress")]
    goes_on.append(append("x", 0, "i"))
    assert writer.commit([goes_on]) == [None]
    assert prune(writer.connection, units) == 1
    left = writer.connection.execute("SELECT id FROM responses UNION SELECT id FROM conversations ORDER BY 1")
    assert [name for (name,) in left] == ["a", "a2", "b", "b2", "x"]
    assert prune(writer.connection, units) == 0
