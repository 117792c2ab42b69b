"""Where lines go: a file descriptor, one ``write`` a line.

Nothing is buffered in the process, so a crash loses no line, and a file opened for appending may be shared by
several processes. The price is one system call a line, a microsecond or two. A file never blocks; who writes
to standard error shares the fate of the pipe or terminal behind it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

STDERR = 2


class Sink:
    """An open file descriptor. Writing never raises: what cannot be written is counted, and told later.

    Args:
        descriptor: To write to.
        owned: Whether `close` closes it.

    Attributes:
        lost: Lines that could not be written since the last that could.
        announce: Makes the line that tells how many were lost; written before the first that succeeds again.
    """

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self._descriptor = descriptor
        self._owned = owned
        self._closed = False
        self._torn = False
        self.lost = 0
        self.announce: Callable[[int], str] | None = None

    def write(self, line: str) -> None:
        """Write a whole line, its newline included."""
        if self.lost and self.announce is not None and self._put(self.announce(self.lost)):
            self.lost = 0
        if not self._put(line):
            self.lost += 1

    def close(self) -> None:
        """Close the descriptor, if it is ours. Lines written later are lost."""
        if self._owned and not self._closed:
            os.close(self._descriptor)
        self._closed = True

    def _put(self, line: str) -> bool:
        if self._closed:
            return False
        data = line.encode()
        if self._torn:
            data = b"\n" + data  # the line before this one broke off: end it first
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            self._torn = self._torn if written == 0 else True
            return False
        self._torn = False
        return True


def open_file(path: str) -> Sink:
    """A sink that appends to a file; it and its folder are made where needed, for our user alone.

    Raises:
        OSError: The file cannot be opened.
    """
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Sink(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), owned=True)


def open_stderr() -> Sink:
    """A sink that writes to standard error, wherever ``sys.stderr`` leads now."""
    try:
        return Sink(sys.stderr.fileno(), owned=False)
    except (AttributeError, OSError, ValueError):
        return Sink(STDERR, owned=False)  # there is none, or something that is no file took its place
