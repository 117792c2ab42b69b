"""What a person has consented to, in a file that survives us: tokens, and who we are to whoever gave them.

One file for each server, readable for its owner only. Several processes may have it open: each looks whether
it was replaced before it uses what it knows, and replaces it as a whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec
from anyio import to_thread
from msgspec import Struct

from callboard.errors import ConfigurationError
from callboard.tools.source import SourceUnavailable
from callboard.whole_file import write_whole

Tree: TypeAlias = dict[str, object]
_Stamp: TypeAlias = tuple[int, int, int] | None


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of such a file. It has secrets in the open, so it does not show itself.

    Attributes:
        url: The server's; what is kept for another one is none of this one's business.
        client: Who we are to the authorization server (RFC 7591).
        tokens: Its answer (RFC 6749, 5.1).
        expires_at: When the access token does, in seconds since the epoch.
        issuer: The authorization server's own description (RFC 8414).
        resource: The server's description of itself (RFC 9728).
    """

    url: str
    client: Tree | None = None
    tokens: Tree | None = None
    expires_at: float | None = None
    issuer: Tree | None = None
    resource: Tree | None = None

    def __repr__(self) -> str:
        return "Kept(***)"


class LoginFile:
    """The file of the server ``name``, whose URL is ``url``; at ``path``, or nowhere."""

    def __init__(self, name: str, url: str, path: Path | None) -> None:
        self._name = name
        self._url = url
        self._path = path
        self._stamp: _Stamp = None

    def replaced(self) -> bool:
        """Whether somebody else has written it, or removed it, since we looked."""
        return self._path is not None and _stamp_of(self._path) != self._stamp

    async def read(self) -> Kept:
        """What it has; nothing where there is none, or where it is for another URL.

        Raises:
            SourceUnavailable: It cannot be read, or is damaged.
        """
        kept = None if self._path is None else await to_thread.run_sync(self._read, self._path)
        return kept if kept is not None and kept.url == self._url else Kept(url=self._url)

    async def write(self, kept: Kept, *, anyway: bool) -> None:
        """Have this in it, unless somebody else has written or removed it since we looked; or ``anyway``.

        Raises:
            SourceUnavailable: It cannot be written.
        """
        if self._path is not None:
            await to_thread.run_sync(self._write, self._path, msgspec.json.encode(kept), anyway)

    async def remove(self) -> None:
        """Be without it, unless somebody else has written it since we looked.

        Raises:
            SourceUnavailable: It cannot be removed.
        """
        if self._path is not None:
            await to_thread.run_sync(self._remove, self._path)

    def _read(self, path: Path) -> Kept | None:
        self._stamp = _stamp_of(path)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise SourceUnavailable(f"{path} cannot be read ({why}): {how_to_log_in(self._name)}") from error

    def _write(self, path: Path, data: bytes, anyway: bool) -> None:
        if self.replaced() and not anyway:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data)
        except (OSError, ConfigurationError) as error:
            raise SourceUnavailable(f"its login cannot be kept: {path} cannot be written") from error
        self._stamp = _stamp_of(path)

    def _remove(self, path: Path) -> None:
        if self.replaced():
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be removed: {error.strerror}") from error
        self._stamp = None


def how_to_log_in(name: str, scope: str | None = None) -> str:
    """What the operator has to do for a server that wants a person's consent."""
    wanted = "" if scope is None else f" --scope '{scope}'"
    return f"log in with `callboard tools login {name}{wanted}`"


def _stamp_of(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
