"""Lines out of pieces, each byte looked at once, and no line longer than it may be."""

from __future__ import annotations

from collections.abc import Iterator


class LineTooLong(Exception):
    """A line has no end within the limit."""


class Lines:
    """Puts lines together.

    Args:
        max_bytes: Of one line without its end.
        cut: Whether the rest of a line that is longer is dropped; else it is an error.
    """

    def __init__(self, max_bytes: int, *, cut: bool = False) -> None:
        self._max = max_bytes
        self._cut = cut
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` completes, without their ends.

        Raises:
            LineTooLong: A line is longer than it may be, and is not to be cut.
        """
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._hold(piece)
            line = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces, self._held = [], 0
            yield line
        if rest:
            self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        room = self._max - self._held
        if len(piece) > room:
            if not self._cut:
                raise LineTooLong
            piece = piece[: max(0, room)]
        self._pieces.append(piece)
        self._held += len(piece)
