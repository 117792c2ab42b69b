"""What is wrong with a configuration, as lines that say where and what to mend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeAlias

from msgspec import Struct, field

KeyPath: TypeAlias = tuple[str, ...]
"""Where a value stands: ``("providers", "openai", "timeouts", "idle_s")``."""

NAMED_SECTIONS = ("providers", "models", "assistants", "tools")
"""Sections that hold one table for each NAME."""


MCP_SERVERS = ("mcp", "servers")
"""The section within a section that holds one table for each NAME."""


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake. ``str()`` is its line, e.g. ``callboard.toml:12: [server] prot: unknown key``.

    Attributes:
        origin: The file as the operator would type it, or an environment variable.
        line: Line of the file, from 1; None where it is not known or there is no file.
        place: Section and key, empty where the whole is meant.
    """

    origin: str
    message: str
    line: int | None = None
    place: str = ""

    def __str__(self) -> str:
        start = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return one_line(": ".join(part for part in (start, self.place, self.message) if part))


class Source(Struct, frozen=True, kw_only=True):
    """Where the values of a configuration came from, so that a problem can name the place.

    Attributes:
        label: The file's name.
        lines: Line of each key of the file.
        variables: The environment variable that set a key, where one did; it goes before the file.
    """

    label: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem with the value at ``path``, or with the nearest table around it that has a line."""
        variable = self.variables.get(path)
        if variable is not None:
            return Problem(origin=variable, place=place(path), message=message)
        ancestors = (path[:length] for length in range(len(path), 0, -1))
        line = next((self.lines[each] for each in ancestors if each in self.lines), None)
        return Problem(origin=self.label, line=line, place=place(path), message=message)


def place(path: KeyPath) -> str:
    """A path as the operator reads it: ``[providers.openai] timeouts.idle_s``."""
    depth = 3 if path[:2] == MCP_SERVERS else 2 if path and path[0] in NAMED_SECTIONS else 1
    section = ".".join(path[:depth])
    return " ".join(part for part in (f"[{section}]" if section else "", ".".join(path[depth:])) if part)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a line about an unknown name: the nearest known one, or all of them, or nothing."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    if nearest:
        return f'; did you mean "{nearest[0]}"?'
    return f"; known here: {', '.join(names)}" if names else ""


def choice(names: Collection[str]) -> str:
    """``"a", "b" or "c"``."""
    *most, last = (f'"{name}"' for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def one_line(text: str) -> str:
    """``text`` with everything escaped that could break or disguise a line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
