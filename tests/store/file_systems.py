"""File systems for SQLite: one that writes down what it is told, one that fails when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Literal, TypeAlias

import apsw
from msgspec import Struct
from typing_extensions import Buffer

_NUMBERS = count()


class Write(Struct, frozen=True):
    file: str
    offset: int
    data: bytes


class Truncate(Struct, frozen=True):
    file: str
    size: int


class Sync(Struct, frozen=True):
    file: str


class Delete(Struct, frozen=True):
    """Attributes: ``synced``, whether its directory was synced with it."""

    file: str
    synced: bool


class Ack(Struct, frozen=True):
    """Not the file system's: from here on ``commits`` commits are promised to be durable."""

    commits: int


Event: TypeAlias = Write | Truncate | Sync | Delete | Ack
FileName: TypeAlias = "str | apsw.URIFilename | None"


def _name_of(name: FileName) -> str:
    path = name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary"
    return path.rpartition("/")[2]


class _RecordedFile(apsw.VFSFile):
    def __init__(self, name: FileName, flags: list[int], log: list[Event]) -> None:
        super().__init__("", name, flags)
        self._name = _name_of(name)
        self._log = log

    def xWrite(self, data: Buffer, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._log.append(Write(self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._log.append(Truncate(self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._log.append(Sync(self._name))
        super().xSync(flags)


class RecordingFileSystem(apsw.VFS):
    """Does everything, and writes down in ``log`` what would matter if the power failed.

    The index of the write-ahead log is shared memory, gone with the power, and not recorded.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.log: list[Event] = []

    def xOpen(self, name: FileName, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _RecordedFile(name, flags, self.log)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.log.append(Delete(_name_of(filename), syncdir))
        super().xDelete(filename, syncdir)


Fault: TypeAlias = Literal["io", "full"]


class Faults:
    """Which calls fail: number ``at`` from the arming on, and all later ones if it ``lasts``."""

    def __init__(self) -> None:
        self._at = 0
        self._seen = 0
        self._lasts = False
        self._kind: Fault = "io"

    @property
    def struck(self) -> bool:
        """Whether a call has failed since the arming."""
        return 0 < self._at <= self._seen

    def arm(self, at: int, kind: Fault, *, lasts: bool) -> None:
        self._at, self._seen, self._kind, self._lasts = at, 0, kind, lasts

    def disarm(self) -> None:
        self._at = 0

    def pass_by(self) -> None:
        """Count a call.

        Raises:
            apsw.Error: It is to fail.
        """
        if not self._at:
            return
        self._seen += 1
        if self._seen == self._at or (self._lasts and self._seen > self._at):
            raise apsw.FullError("no space") if self._kind == "full" else apsw.IOError("broken")


class _FaultyFile(apsw.VFSFile):
    def __init__(self, name: FileName, flags: list[int], faults: Faults) -> None:
        super().__init__("", name, flags)
        self._faults = faults

    def xWrite(self, data: Buffer, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._faults.pass_by()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._faults.pass_by()
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._faults.pass_by()
        super().xSync(flags)


class FaultyFileSystem(apsw.VFS):
    """Fails the calls that ``faults`` name, of those that open, write, truncate and sync."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.faults = Faults()

    def xOpen(self, name: FileName, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        self.faults.pass_by()
        return _FaultyFile(name, flags, self.faults)


@contextmanager
def recording() -> Iterator[tuple[str, RecordingFileSystem]]:
    """A recording file system under a name of its own."""
    name = f"recording-{next(_NUMBERS)}"
    system = RecordingFileSystem(name)
    yield name, system
    system.unregister()


@contextmanager
def failing() -> Iterator[tuple[str, Faults]]:
    """A file system under a name of its own that fails as it is told."""
    name = f"failing-{next(_NUMBERS)}"
    system = FaultyFileSystem(name)
    yield name, system.faults
    system.unregister()
