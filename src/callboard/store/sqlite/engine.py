"""Connections to the database file: which SQLite, which files, which settings.

The file and what lies beside it belong to one user (mode 0600, in a directory of 0700 if we make it). The
log is written ahead and synced with every commit: with ``synchronous=NORMAL`` a power failure takes
acknowledged commits with it. ``EXTRA`` is ``FULL`` there, and more for the moment before there is such a log:
the rollback journal of that moment, if its deletion were lost, would undo everything that came later.
Deleted content is overwritten.

Source: SQLite, "PRAGMA Statements"; "Write-Ahead Logging", section 11 (the WAL-reset bug).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
from msgspec import Struct

from callboard.errors import ConfigurationError, StoreUnavailable

_SETTINGS = """
PRAGMA synchronous = EXTRA;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA secure_delete = ON;
PRAGMA cell_size_check = ON;
PRAGMA temp_store = MEMORY;
PRAGMA journal_size_limit = 67108864;
PRAGMA cache_size = -8192;
"""


class Place(Struct, frozen=True, kw_only=True):
    """Where a database is, and how it is opened.

    Attributes:
        busy_timeout_s: How long to wait for other processes that write.
        vfs: Name of SQLite's file system layer; "" is its own.
    """

    path: Path
    busy_timeout_s: float = 5.0
    vfs: str = ""


def sqlite_version() -> tuple[int, ...]:
    """The version of the SQLite that apsw carries."""
    return tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


def loses_commits(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the WAL-reset bug.

    Two connections that write and checkpoint at once can lose committed transactions: 3.7.0 to 3.51.2, but
    for the back-ports in 3.44.6 and 3.50.7.
    """
    branch = version[:2]
    mended = (branch == (3, 44) and version >= (3, 44, 6)) or (branch == (3, 50) and version >= (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3) and not mended


def refuse_lossy_sqlite(version: tuple[int, ...]) -> None:
    """Do not work with an SQLite that loses commits.

    Raises:
        ConfigurationError: It is one of those.
    """
    if loses_commits(version):
        raise ConfigurationError(
            f"SQLite {'.'.join(map(str, version))} can lose committed data; install apsw 3.51.3 or newer."
        )


def make_private(path: Path) -> None:
    """See to it that the file exists, and that it and a directory made for it are its user's alone.

    Raises:
        OSError: It cannot be made or opened.
    """
    missing = [each for each in path.parents if not each.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Holds the directory of ``path`` locked: who opens, makes and migrates a file there does it alone."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def connect_writer(place: Place) -> apsw.Connection:
    """A connection that may write. Its caller sees to it that no two of a process do at once.

    Raises:
        StoreUnavailable: The file system cannot share memory between processes, as most networked ones.
        apsw.Error: It cannot be opened.
    """
    connection = _connect(place, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    try:
        mode = connection.pragma("journal_mode", "wal")
    except BaseException:
        connection.close()
        raise
    if mode != "wal":
        connection.close()
        raise StoreUnavailable(f"No write-ahead log can be kept beside {place.path}.")
    return connection


def connect_reader(place: Place) -> apsw.Connection:
    """A connection that refuses to write.

    Raises:
        apsw.Error: It cannot be opened.
    """
    connection = _connect(place, apsw.SQLITE_OPEN_READWRITE)
    connection.pragma("query_only", True)
    return connection


def _connect(place: Place, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(place.path), flags=flags, vfs=place.vfs or None)
    try:
        connection.set_busy_timeout(int(place.busy_timeout_s * 1000))
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.execute(_SETTINGS)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """One transaction that writes: durable once this is left in order, undone otherwise."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back by itself.
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise
