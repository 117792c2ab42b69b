"""The layout of the database, as the ordered list of the steps that lead to it.

A step, once released, is never changed; the file's ``user_version`` counts the steps it has behind it. Rows
name each other by ``seq``, numbers in the order of arrival, so that a commit touches neighbouring pages; the
names that clients see are kept once, in ``id``.

``responses`` holds what changes while a response lives, ``inputs`` what it began with, so that neither is
rewritten with the other. ``owner`` is set while a response is live and not deleted. ``deleted`` marks one
that is kept for the chains of those that continue it.

``keys`` holds client keys, without their secrets; ``changed`` numbers the changes to them, so that who knows
them all asks for the new ones only.
"""

from __future__ import annotations

import apsw

from callboard.errors import ConfigurationError
from callboard.store.sqlite.engine import transaction

APPLICATION_ID = 0x43414C42
"""Marks the file as ours: "CALB"."""

_FIRST = """
CREATE TABLE responses (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    finished_at_s INTEGER,
    model TEXT NOT NULL,
    background INTEGER NOT NULL,
    previous INTEGER REFERENCES responses (seq),
    root INTEGER NOT NULL,
    conversation_id TEXT,
    version INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    owner TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    produced BLOB NOT NULL
) STRICT;
CREATE INDEX responses_by_previous ON responses (previous) WHERE previous IS NOT NULL;
CREATE INDEX responses_by_root ON responses (root);
CREATE INDEX live_responses ON responses (owner) WHERE owner <> '';

CREATE TABLE inputs (
    response INTEGER PRIMARY KEY REFERENCES responses (seq) ON DELETE CASCADE,
    request BLOB NOT NULL,
    input BLOB NOT NULL
) STRICT;

CREATE TABLE segments (
    response INTEGER NOT NULL REFERENCES responses (seq) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (response, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL,
    title TEXT NOT NULL,
    metadata BLOB NOT NULL,
    version INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_by_creation ON conversations (tenant, created_at_s, seq);

CREATE TABLE items (
    conversation INTEGER NOT NULL REFERENCES conversations (seq) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    message BLOB NOT NULL,
    created_at_s INTEGER NOT NULL,
    PRIMARY KEY (conversation, position),
    UNIQUE (conversation, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE replies (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    response_id TEXT,
    status INTEGER,
    content_type TEXT NOT NULL,
    body BLOB,
    created_at_s INTEGER NOT NULL,
    UNIQUE (tenant, key)
) STRICT;
CREATE INDEX replies_by_response ON replies (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX replies_by_age ON replies (created_at_s);
"""

_KEYS = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    changed INTEGER NOT NULL UNIQUE,
    revoked_at_s INTEGER,
    key BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _KEYS)


def migrate(connection: apsw.Connection, steps: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the database to the layout that ``steps`` lead to; one that is there already stays as it is.

    Raises:
        ConfigurationError: The file is of a newer version, or of another program.
        apsw.Error: It cannot be read or written; then it is as before.
    """
    if schema_version(connection) == len(steps) and connection.pragma("application_id") == APPLICATION_ID:
        return
    with transaction(connection):
        done = schema_version(connection)
        _refuse_strangers(connection, done, len(steps))
        for step in steps[done:]:
            connection.execute(step)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", len(steps))


def schema_version(connection: apsw.Connection) -> int:
    """How many steps the database has behind it."""
    return int(connection.pragma("user_version"))


def _refuse_strangers(connection: apsw.Connection, done: int, known: int) -> None:
    name = connection.filename
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if connection.pragma("application_id") != (APPLICATION_ID if tables else 0):
        raise ConfigurationError(f"{name} is the database of another program.")
    if done > known:
        raise ConfigurationError(
            f"{name} was written by a newer Callboard (layout {done}; this one knows {known}): upgrade, "
            "or restore a backup from before."
        )
