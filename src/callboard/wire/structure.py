"""How much a JSON document holds, read piece by piece while strings are skipped: no value is built.

It is for documents too large to be looked at in one go. Each piece costs a few passes at the speed of C over
that piece, so whoever feeds them can let others work in between, and can stop where a count says enough.
What is no JSON gives counts that mean nothing; a decoder has to come after this.
"""

from __future__ import annotations

_NUMBER = b"0123456789+-.eE"
_NO_NUMBER = bytes(0x20 if byte not in _NUMBER else byte for byte in range(256))
_UNIFORM_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class Structure:
    """Counts over the pieces of one document; any cut into pieces gives the same.

    Attributes:
        longest_number: Characters of the longest number so far.
        number_bytes: Characters of all numbers so far.
        keys: Keys of all objects so far.
    """

    __slots__ = (
        "_brackets",
        "_closed",
        "_commas",
        "_escape",
        "_in_string",
        "_last",
        "_opened",
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
        self._closed = 0
        self._brackets = bytearray()

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
        brackets = compact.translate(_UNIFORM_BRACKETS, _NO_BRACKETS)
        self._closed += brackets.count(b")")
        self._brackets += brackets

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
        return self._closed > 0 and 2 * self._closed >= len(self._brackets) and not self._in_string

    def is_deeper_than(self, levels: int) -> bool:
        """Whether containers nest deeper, or do not match. Ask when the document is whole."""
        # Each pass takes the innermost brackets away, so the tree becomes lower by exactly one.
        brackets = bytes(self._brackets)
        for _ in range(levels):
            brackets = brackets.replace(b"()", b"")
        return bool(brackets)

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
