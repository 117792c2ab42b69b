"""Model text on a terminal: streamed as it comes, with nothing in it that the terminal would obey.

A model, or whoever writes what it reads, must not move the cursor, retitle the window or fill the clipboard.
"""

from __future__ import annotations

import re
import sys
from typing import TextIO

# C0 and C1 controls but newline and tab, DEL, and the bidirectional overrides.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with every character that a terminal would obey made visible."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Printer:
    """Writes pieces of an answer as they come."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._at_line_start = True

    def write(self, text: str) -> None:
        """Write a piece and let it be seen at once."""
        if text:
            self._at_line_start = text.endswith("\n")
            self._out.write(printable(text))
            self._out.flush()

    def end(self) -> None:
        """End the last line."""
        if not self._at_line_start:
            self._out.write("\n")
            self._out.flush()
        self._at_line_start = True
