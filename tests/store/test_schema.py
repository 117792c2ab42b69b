"""Migrations: from nothing, from before, twice, and never from the future or from somebody else's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from callboard.errors import ConfigurationError
from callboard.store.sqlite.engine import Place, connect_writer
from callboard.store.sqlite.schema import MIGRATIONS, migrate, schema_version

NEXT = (*MIGRATIONS, "ALTER TABLE responses ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = connect_writer(Place(path=tmp_path / "store.db"))
    yield opened
    opened.close()


def layout(connection: apsw.Connection) -> list[object]:
    return [
        *connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name"),
        schema_version(connection),
        connection.pragma("schema_version"),
    ]


def test_an_empty_file_gets_the_newest_layout_and_twice_is_no_change(connection: apsw.Connection) -> None:
    migrate(connection)
    first = layout(connection)
    assert schema_version(connection) == len(MIGRATIONS)
    migrate(connection)
    assert layout(connection) == first


def test_a_file_from_before_is_brought_up_with_what_it_holds(connection: apsw.Connection) -> None:
    migrate(connection)
    connection.execute(
        "INSERT INTO conversations VALUES (1, 'c', 't', 1, 1, '', '{}', 0, 0)".replace("'{}'", "x'7b7d'")
    )
    migrate(connection, NEXT)
    migrate(connection, NEXT)
    assert schema_version(connection) == len(NEXT)
    assert connection.execute("SELECT id FROM conversations").get == "c"
    assert connection.execute("SELECT count(colour) FROM responses").get == 0


def test_a_file_from_the_future_is_refused_and_left_alone(connection: apsw.Connection) -> None:
    migrate(connection, NEXT)
    before = layout(connection)
    layouts = rf"\(layout {len(NEXT)}; .* {len(MIGRATIONS)}\)"
    with pytest.raises(ConfigurationError, match=rf"store\.db was written by a newer Callboard {layouts}"):
        migrate(connection)
    assert layout(connection) == before


def test_somebody_elses_database_is_refused_and_left_alone(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE recipes (name TEXT)")
    before = layout(connection)
    with pytest.raises(ConfigurationError, match="another program"):
        migrate(connection)
    assert layout(connection) == before


def test_a_migration_that_fails_leaves_the_file_as_it_was(connection: apsw.Connection) -> None:
    migrate(connection)
    before = layout(connection)[:-1]
    with pytest.raises(apsw.SQLError):
        migrate(connection, (*NEXT, "ALTER TABLE nonsense"))
    assert layout(connection)[:-1] == before
