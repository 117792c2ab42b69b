"""Setting values in the text of a TOML file, which keeps everything else as it is: order, comments, blanks.

There is no TOML writer in the standard library, and none is needed to set a few plain values. A value on a
line of its own is replaced there; a new one goes below its table's header, or with a new table to the end.
Whatever else TOML allows, such as inline tables and keys with dots, is not edited but noticed: the result is
parsed, and has to be what was there with nothing but these values changed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TypeAlias

from callboard.config.lines import key_lines
from callboard.config.problems import KeyPath, place
from callboard.errors import ConfigurationError

Values: TypeAlias = Mapping[KeyPath, str | int]
"""What is to be set, by table and key."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ASSIGNMENT = re.compile(
    r"""(?P<key>[^=]*=[ \t]*)(?:"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\[{#,]+)(?P<rest>[ \t]*(?:\#.*)?)""",
    re.VERBOSE,
)


def with_values(text: str, values: Values) -> str:
    """``text``, a TOML document, with ``values`` set.

    Raises:
        ConfigurationError: It is no TOML, or one of them stands where only a person can change it.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML, and so not changed: {error}") from error
    for path, value in values.items():
        tree = _set(tree, path, value)
        text = _edited(text, path, value)
        if not _says(text, tree):
            raise _by_hand(path)
    return text


def assignment(path: KeyPath, value: str | int) -> str:
    """The line for a value, without its table: ``port = 8080``."""
    return f"{_key(path[-1])} = {_literal(value)}"


def header(path: KeyPath) -> str:
    """The line that begins its table: ``[server]``."""
    return f"[{'.'.join(map(_key, path[:-1]))}]"


def _says(text: str, tree: Mapping[str, object]) -> bool:
    try:
        return tomllib.loads(text) == tree
    except tomllib.TOMLDecodeError:
        return False


def _set(tree: Mapping[str, object], path: KeyPath, value: object) -> dict[str, object]:
    changed = table = deepcopy(dict(tree))
    for name in path[:-1]:
        below = table.setdefault(name, {})
        if not isinstance(below, dict):
            raise _by_hand(path)
        table = below
    table[path[-1]] = value
    return changed


def _edited(text: str, path: KeyPath, value: str | int) -> str:
    lines = text.splitlines(keepends=True)
    line = key_lines(text).get(path)
    if line is not None:
        body = lines[line - 1].rstrip("\r\n")
        end = lines[line - 1][len(body) :]
        found = _ASSIGNMENT.fullmatch(body)
        if found is None:
            raise _by_hand(path)
        lines[line - 1] = f"{found['key']}{_literal(value)}{found['rest']}{end}"
        return "".join(lines)
    begins = _below_header(lines, path[:-1])
    if begins is not None:
        lines.insert(begins, assignment(path, value) + "\n")
        return "".join(lines)
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}{header(path)}\n{assignment(path, value)}\n"


def _below_header(lines: Sequence[str], table: KeyPath) -> int | None:
    """The place below the header of ``table`` and the assignments that follow it at once."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith("[") and line.endswith("\n") and _named_by(line) == table:
            after = number + 1
            while after < len(lines) and _ASSIGNMENT.fullmatch(lines[after].rstrip("\r\n")):
                after += 1
            return after
    return None


def _named_by(line: str) -> KeyPath:
    """The table that a header names; nothing for what is none."""
    path: KeyPath = ()
    try:
        below: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    while isinstance(below, dict) and below:
        ((name, below),) = below.items()
        path = (*path, name)
    return path if below == {} else ()


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _literal(name)


def _literal(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)


def _by_hand(path: KeyPath) -> ConfigurationError:
    return ConfigurationError(f"{place(path)} stands where it cannot be changed safely; change it by hand")
