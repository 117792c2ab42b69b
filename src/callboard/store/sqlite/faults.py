"""SQLite's errors as ours, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import apsw

from callboard.errors import StoreUnavailable

_REASONS: Mapping[type[Exception], str] = {
    apsw.FullError: "its disk is full",
    apsw.IOError: "its disk fails",
    apsw.ReadOnlyError: "it cannot be written",
    apsw.PermissionsError: "it may not be opened",
    apsw.AuthError: "it may not be opened",
    apsw.BusyError: "others hold it locked",
    apsw.LockedError: "others hold it locked",
    apsw.ProtocolError: "others hold it locked",
    apsw.CantOpenError: "it cannot be opened",
    apsw.CorruptError: "its file is damaged",
    apsw.NotADBError: "its file is no database",
    apsw.NoMemError: "there is no memory left",
    apsw.ConnectionClosedError: "it is closed",
    OSError: "its disk fails",
}
UNAVAILABLE: tuple[type[Exception], ...] = tuple(_REASONS)
"""What says something about the store's surroundings; every other error of SQLite's is a bug of ours."""


def unavailable(error: Exception) -> StoreUnavailable:
    """What to say of ``error``, which is one of `UNAVAILABLE`; it becomes the cause."""
    reason = next(text for kind, text in _REASONS.items() if isinstance(error, kind))
    refusal = StoreUnavailable(f"The store cannot be used now: {reason}.")
    refusal.__cause__ = error
    return refusal


@contextmanager
def faults_translated() -> Iterator[None]:
    """Raises `StoreUnavailable` in the place of SQLite's and the operating system's errors."""
    try:
        yield
    except UNAVAILABLE as error:
        raise unavailable(error) from error
