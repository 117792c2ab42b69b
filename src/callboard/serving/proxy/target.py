"""A request's target, read once and strictly, so that nobody behind us can read it in another way. No I/O.

What is checked is what is sent: a path is taken apart and decoded, every segment is judged, and the path that
goes on is made anew of these segments. A segment that anything could take for more than one, for a way up or
for nothing is refused, however it is written: as it is, percent-encoded, encoded twice, with parameters
behind it, or in characters that some systems fold to those of ASCII.

Source: RFC 3986, 3.3 (path), 3.4 (query), 6.2.2 (normalisation); Unicode Standard Annex 15 (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+")
_UNFIT_IN_QUERY = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]")
_SAFE = "!$&'()*+,;=:@"
_NO_NAMES = frozenset({"", ".", ".."})


class Target(Struct, frozen=True, kw_only=True):
    """A target that is fit to be passed on.

    Attributes:
        segments: Of the path, decoded; at least one.
        query: With its question mark, percent-encoded where it has to be; empty where there is none.
    """

    segments: tuple[str, ...]
    query: str

    @property
    def path(self) -> str:
        """The path as it is sent."""
        return "".join(f"/{quote(segment, safe=_SAFE)}" for segment in self.segments)


def read_target(raw: bytes) -> Target | None:
    """The target of a request line; None where it cannot be read in one way only."""
    path, mark, query = raw.partition(b"?")
    if _PATH.fullmatch(path) is None:
        return None
    try:
        segments = tuple(unquote_to_bytes(each).decode() for each in path[1:].split(b"/"))
    except UnicodeDecodeError:
        return None
    if not all(_is_plain(segment) for segment in segments):
        return None
    return Target(segments=segments, query=(mark + _UNFIT_IN_QUERY.sub(_encode, query)).decode("ascii"))


def _is_plain(segment: str) -> bool:
    """Whether a decoded segment is one name to everybody."""
    folded = unicodedata.normalize("NFKC", segment)
    name = folded.partition(";")[0].strip()
    return segment.isprintable() and name not in _NO_NAMES and not any(each in folded for each in "/\\%")


def _encode(unfit: re.Match[bytes]) -> bytes:
    return b"%%%02X" % unfit[0][0]
