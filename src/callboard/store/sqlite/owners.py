"""Who is alive: each open store holds a lock on a file of its own, beside the database.

The operating system releases it however the process ends. Files of the dead are removed by whoever opens the
store next, under `callboard.store.sqlite.engine.opening`, as they are made; so none is looked at between
being made and being locked.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Owner:
    """One open store.

    Attributes:
        id: Its name; no two have ever the same.
    """

    def __init__(self, database: Path, owner_id: str) -> None:
        self.id = owner_id
        self._database = database
        for other in database.parent.glob(f"{database.name}-owner-*"):
            if not _is_locked(other):
                other.unlink(missing_ok=True)
        self._path = self._path_of(owner_id)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def is_alive(self, owner_id: str) -> bool:
        """Whether the store that had this name is still open, in this process or another."""
        return owner_id == self.id or _is_locked(self._path_of(owner_id))

    def close(self) -> None:
        """Die."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _path_of(self, owner_id: str) -> Path:
        return self._database.with_name(f"{self._database.name}-owner-{owner_id}")


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
