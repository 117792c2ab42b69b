"""Values become text: one event is one line, whatever is in it, and parses back to what went in.

Quoting follows Go's slog: a value is bare unless it is empty or holds a space, a quote, an equals sign or
anything that is not printable. Quoted values are JSON strings in both formats, so any JSON parser reads them.
Not printable is what Unicode calls other or separator: C0 and C1 controls, ESC, U+0085, U+2028, U+2029, all
marks that change the direction of text, and spaces but the ordinary one. These are always escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias

Plain: TypeAlias = str | int | float | bool | Decimal
"""What a line can hold."""

Pairs: TypeAlias = Iterable[tuple[str, Plain]]

MAX_VALUE_CHARS = 1024
"""Longer values are cut there and end in ``…``."""

FAMILIAR_CHARS = 64
"""So long are names and ids, which come again and again."""

_is_ascii_bare = re.compile(r"[!#-<>-~]+").fullmatch
_needs_quotes = re.compile(r'[ "=]').search
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def logfmt_line(pairs: Pairs) -> str:
    """``key=value key="other value"``, with its newline."""
    return " ".join([f"{key}={logfmt_value(value)}" for key, value in pairs]) + "\n"


def json_line(pairs: Pairs) -> str:
    """One JSON object, with its newline."""
    return "{" + ",".join([f'"{key}":{json_value(value)}' for key, value in pairs]) + "}\n"


def logfmt_value(value: Plain) -> str:
    """A value as it stands behind ``=``."""
    if isinstance(value, str):
        return familiar_text(value) if len(value) <= FAMILIAR_CHARS else logfmt_text(value)
    return _number(value)


def json_value(value: Plain) -> str:
    """A value as JSON."""
    return quote(_cut(value)) if isinstance(value, str) else _number(value)


def logfmt_text(text: str) -> str:
    """A string, bare where that is unambiguous."""
    if len(text) <= MAX_VALUE_CHARS and _is_ascii_bare(text):
        return text
    text = _cut(text)
    return text if text and text.isprintable() and not _needs_quotes(text) else quote(text)


@lru_cache(maxsize=512)
def familiar_text(text: str) -> str:
    """`logfmt_text`, remembered: for names that come again, such as those of models."""
    return logfmt_text(text)


def quote(text: str) -> str:
    """A JSON string without anything unprintable. A lone surrogate, which no encoding has, becomes U+FFFD."""
    if text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + "".join([_escape(char) for char in text]) + '"'


def go_duration(microseconds: int) -> str:
    """A duration as Go prints it: ``2s``, ``1.5s``, ``150ms``, ``1m30s``, ``12µs``."""
    if microseconds < 0:
        return f"-{go_duration(-microseconds)}"
    if microseconds < 1000:
        return f"{microseconds}µs" if microseconds else "0s"
    if microseconds < 1_000_000:
        return f"{_decimal(microseconds, 1000)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 1_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def usd(picousd: int) -> str:
    """An amount in USD, exact: ``0.000123``."""
    if picousd == 0:
        return "0"
    sign, digits = ("-", f"{-picousd:013d}") if picousd < 0 else ("", f"{picousd:013d}")
    return f"{sign}{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".")


class Timestamps:
    """The time of a line: UTC, RFC 3339; to the second where it falls on one, else to the millisecond.

    Args:
        now_ns: Nanoseconds since the epoch.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """E.g. ``2025-01-01T02:21:00Z`` or ``2025-01-01T02:21:00.042Z``."""
        second, milli = divmod(self._now_ns() // 1_000_000, 1000)
        if second != self._second:
            self._text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            self._second = second
        return f"{self._text}.{milli:03d}Z" if milli else f"{self._text}Z"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def _number(value: float | Decimal) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return repr(value)


def _decimal(amount: int, unit: int) -> str:
    """``amount / unit`` without a rounding error and without zeros at its end; ``unit`` is a power of ten."""
    whole, part = divmod(amount, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0") if part else str(whole)


def _escape(char: str) -> str:
    short = _SHORT_ESCAPES.get(char)
    if short is not None:
        return short
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "\\ufffd"
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
