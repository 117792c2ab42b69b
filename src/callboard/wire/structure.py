"""How much a JSON document holds, read piece by piece while strings are skipped: no value is built.

It is for documents too large to be looked at in one go. Each piece costs a few passes at the speed of C over
that piece, so whoever feeds them can let others work in between, and can stop where a count says enough.
What is no JSON gives counts that mean nothing; a decoder has to come after this.
"""

from __future__ import annotations

import re

_NUMBER = b"0123456789+-.eE"
_NO_NUMBER = bytes(0x20 if byte not in _NUMBER else byte for byte in range(256))
_UNIFORM_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b"[]{}:")
_MARKS = re.compile(rb"[()]|:+")


class Structure:
    """Counts over the pieces of one document; any cut into pieces gives the same.

    Attributes:
        longest_number: Characters of the longest number so far.
        number_bytes: Characters of all numbers so far.
        keys: Keys of all objects so far.
    """

    __slots__ = (
        "_closed",
        "_commas",
        "_counted",
        "_escape",
        "_in_string",
        "_keys_within",
        "_largest",
        "_last",
        "_marks",
        "_opened",
        "_opening",
        "_tail",
        "keys",
        "longest_number",
        "number_bytes",
    )

    def __init__(self) -> None:
        self.longest_number = 0
        self.number_bytes = 0
        self.keys = 0
        self._escape = b""  # a backslash whose second half comes with the next piece
        self._in_string = False
        self._last = b""  # the last byte of structure
        self._tail = b""  # the number that the last piece may have cut
        self._commas = 0
        self._opened = 0  # containers that are not empty
        self._opening = 0  # brackets
        self._closed = 0
        self._marks = bytearray()  # brackets, and the colons behind keys
        self._counted = 0  # marks that `largest_object` has seen
        self._keys_within = [0]  # by containers that are open there, the innermost last
        self._largest = 0

    def feed(self, piece: bytes) -> None:
        """Take in the next piece."""
        bare = self._without_strings(self._escape + piece)
        self._measure_numbers(bare)
        compact = bare.translate(None, b" \t\r\n")
        if not compact:
            return
        joined = self._last + compact
        self._last = compact[-1:]
        self.keys += compact.count(b":")
        self._commas += compact.count(b",")
        self._opened += compact.count(b"[") + compact.count(b"{") - joined.count(b"[]") - joined.count(b"{}")
        marks = compact.translate(_UNIFORM_BRACKETS, _NO_MARKS)
        self._opening += marks.count(b"(")
        self._closed += marks.count(b")")
        self._marks += marks

    @property
    def nodes(self) -> int:
        """Values so far, containers included; one that has only just been opened may yet be empty."""
        # Each container that is not empty holds one value more than it has commas; the outermost is one
        # itself. A bracket too many is no value, but must not go uncounted.
        just_opened = self._last in (b"[", b"{")
        return max(1 + self._commas + self._opened - just_opened, self._closed)

    @property
    def is_balanced(self) -> bool:
        """Whether a container was opened, and each that was has been closed."""
        return self._closed > 0 and self._closed >= self._opening and not self._in_string

    def is_deeper_than(self, levels: int) -> bool:
        """Whether containers nest deeper, or do not match. Ask when the document is whole."""
        # Each pass takes the innermost brackets away, so the tree becomes lower by exactly one.
        brackets = bytes(self._marks).translate(None, b":")
        for _ in range(levels):
            brackets = brackets.replace(b"()", b"")
        return bool(brackets)

    def largest_object(self) -> int:
        """Keys of the object that has most of them so far.

        Costs more than the other counts, by the number of brackets since it was last asked for.
        """
        marks = bytes(self._marks[self._counted :]).replace(b"()", b"")
        self._counted = len(self._marks)
        within = self._keys_within
        for mark in _MARKS.findall(marks):
            if mark == b"(":
                within.append(0)
            elif mark == b")":
                if len(within) > 1:  # one too many is the decoder's to refuse
                    within.pop()
            else:
                within[-1] += len(mark)
                self._largest = max(self._largest, within[-1])
        return self._largest

    def _without_strings(self, piece: bytes) -> bytes:
        """What stands between strings, with a quotation mark for each of those."""
        self._escape = b""
        if b"\\" in piece:
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
                piece, self._escape = piece[:-1], b"\\"
            # Left to right, so that a pair of backslashes is one escape and never hides the quote after it.
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        bare = b'"'.join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        return bare + b'"' if self._in_string else bare

    def _measure_numbers(self, bare: bytes) -> None:
        whole = self._tail + bare
        lengths = [len(number) for number in whole.translate(_NO_NUMBER).split()]
        self.longest_number = max(self.longest_number, max(lengths, default=0))
        self.number_bytes += sum(lengths) - len(self._tail)
        self._tail = whole[len(whole.rstrip(_NUMBER)) :]
