"""Entries of ``[proxy] allow``: which requests may be passed on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REST = "*"

# Source: RFC 3986, 3.3 (pchar), without percent-encodings: an entry is written as its path reads decoded.
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@-]+")


class AllowedRoute(Struct, frozen=True, kw_only=True):
    """One entry.

    Attributes:
        method: ``GET`` stands for ``HEAD`` too.
        segments: What the path begins with, decoded.
        rest: Whether at least one more segment follows, whatever it is; else the path ends there.
    """

    method: str
    segments: tuple[str, ...]
    rest: bool

    @property
    def pattern(self) -> str:
        """The path as the entry has it."""
        return "/" + "/".join((*self.segments, REST) if self.rest else self.segments)

    def allows(self, method: str, segments: Sequence[str]) -> bool:
        """Whether a request for these segments, decoded and checked, may pass."""
        if self.method not in {method, "GET" if method == "HEAD" else method}:
            return False
        own = len(self.segments)
        fits = len(segments) > own if self.rest else len(segments) == own
        return fits and tuple(segments[:own]) == self.segments


def parse_allowed(entry: str) -> AllowedRoute:
    """Read ``"METHOD /path"``.

    Raises:
        ValueError: It is none; says why.
    """
    method, space, path = entry.partition(" ")
    if not space or not path.startswith("/"):
        raise ValueError('expected "METHOD /path"')
    if method not in METHODS:
        raise ValueError(f"expected one of the methods {', '.join(sorted(METHODS))}")
    *segments, last = path[1:].split("/")
    rest = last == REST
    if not rest:
        segments.append(last)
    for segment in segments:
        if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
            raise ValueError('expected a path of plain segments, of which the last may be "*"')
    return AllowedRoute(method=method, segments=tuple(segments), rest=rest)
