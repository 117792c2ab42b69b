"""A file that is there whole or not at all, whenever somebody looks and wherever the power fails."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from callboard.errors import ConfigurationError


def write_whole(path: Path, data: bytes) -> None:
    """Have ``data`` at ``path``, readable for its owner only; at any moment all of it or what was before.

    Raises:
        ConfigurationError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
