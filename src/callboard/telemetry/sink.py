"""Where lines go: a file descriptor, one ``write`` for what comes together.

Nothing is buffered here, so a crash loses no line, and a file opened for appending may be shared by
several processes. The price is a system call, a few microseconds, so lines that come together should be
handed over together. A file never blocks; who writes to standard error shares the fate of the pipe or
terminal behind it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

STDERR = 2

NEWLINE = 0x0A

WRITTEN_WHOLE = 4096
"""So many bytes reach a pipe in one piece, whoever else writes to it (POSIX, ``write``; Linux's PIPE_BUF)."""


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
        """Write a whole line, or several, newlines included."""
        if self.lost and self.announce is not None and not self._put(self.announce(self.lost).encode()):
            self.lost = 0
        data = line.encode()
        while len(data) > WRITTEN_WHOLE:
            cut = (data.rfind(b"\n", 0, WRITTEN_WHOLE) + 1) or (data.find(b"\n") + 1) or len(data)
            self.lost += self._put(data[:cut])
            data = data[cut:]
        if data:
            self.lost += self._put(data)

    def close(self) -> None:
        """Close the descriptor, if it is ours. Lines written later are lost."""
        if self._owned and not self._closed:
            os.close(self._descriptor)
        self._closed = True

    def _put(self, data: bytes) -> int:
        """Write whole lines; returns how many of them were lost."""
        if self._closed:
            return data.count(b"\n")
        if self._torn:
            data = b"\n" + data  # the line before this one broke off: end it first
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:] if written else data)
        except OSError:
            if written:
                self._torn = data[written - 1] != NEWLINE
            return data.count(b"\n", written if written or not self._torn else 1)
        self._torn = False
        return 0


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
