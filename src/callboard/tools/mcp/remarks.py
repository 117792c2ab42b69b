"""What a server writes for its operator: bounded in length and rate, however much comes."""

from __future__ import annotations

from collections.abc import Callable

from callboard.domain.observation import ToolSourceSaid

LINES_PER_SECOND = 100
MAX_CHARS = 2000


class Remarks:
    """Passes on a hundred lines a second, cut, and says how many it did not.

    Args:
        source: The server's configured name.
        said: Told each line.
        now_s: Monotonic seconds.
    """

    def __init__(
        self, source: str, said: Callable[[ToolSourceSaid], None], now_s: Callable[[], float]
    ) -> None:
        self._source = source
        self._said = said
        self._now_s = now_s
        self._second = -1
        self._told = 0
        self._dropped = 0

    def full(self, lines: int) -> bool:
        """Whether no more will be passed on this second; then ``lines`` of them are counted and forgotten."""
        full = int(self._now_s()) == self._second and self._told >= LINES_PER_SECOND
        self._dropped += lines if full else 0
        return full

    def add(self, severity: str, line: bytes | str) -> None:
        """Pass one line on, unless there were too many."""
        if self.full(1):
            return
        second = int(self._now_s())
        if second != self._second:
            dropped, self._dropped = self._dropped, 0
            self._second, self._told = second, 0
            if dropped:
                self._tell(severity, f"[{dropped} lines were dropped]")
        text = line[: MAX_CHARS * 4].decode(errors="replace") if isinstance(line, bytes) else line
        self._tell(severity, text[:MAX_CHARS].rstrip())

    def _tell(self, severity: str, text: str) -> None:
        if text:
            self._told += 1
            self._said(ToolSourceSaid(source=self._source, severity=severity, text=text))
