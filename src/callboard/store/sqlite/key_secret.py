"""The secret that tokens are hashed with: a file of its own beside the database, its user's alone.

It is not in the database, so that a copy of that one, a backup above all, proves and forges nothing.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from callboard.store.sqlite.engine import sync_directory

LENGTH = 32


def key_secret(database: Path) -> bytes:
    """The secret of ``database``, made if there is none.

    Of several processes that make it at once one wins, and all get the same.

    Raises:
        OSError: It cannot be read or made, or is not what we wrote.
    """
    path = database.with_name(f"{database.name}-key-secret")
    with suppress(FileNotFoundError):
        return _read(path)
    part = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(LENGTH))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):  # somebody was faster
            os.link(part, path)  # whole or not at all, and never over another
    finally:
        part.unlink()
    sync_directory(path.parent)
    return _read(path)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        found = os.read(descriptor, LENGTH + 1)
    finally:
        os.close(descriptor)
    if len(found) != LENGTH:
        raise OSError(f"{path} is not the file of {LENGTH} bytes that was written")
    return found
