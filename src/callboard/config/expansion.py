"""``${NAME}`` in a string stands for an environment variable; ``$${`` stands for ``${`` itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from callboard.config.problems import KeyPath, Problem, Source, suggestion

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with every reference replaced, once: what a variable holds is not looked at again.

    Raises:
        LookupError: A reference names no variable; its argument is the line that says so.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "${"
        if name in environ:
            return environ[name]
        if not _NAME.fullmatch(name):
            raise LookupError(f'"{name}" is not the name of a variable; write $${{ for a plain ${{')
        nearest = suggestion(name, environ)
        hint = nearest if "did you mean" in nearest else ""
        raise LookupError(f"the environment has no variable {name}{hint}")

    return _REFERENCE.sub(value, text)


def escape(text: str) -> str:
    """The string that `expand` turns into ``text`` in any environment."""
    return text.replace("${", "$${")


def expand_tree(
    value: object, environ: Mapping[str, str], source: Source, path: KeyPath = ()
) -> tuple[object, list[Problem]]:
    """A copy of ``value`` with the strings in it expanded, at any depth, and what went wrong."""
    if isinstance(value, str):
        try:
            return expand(value, environ), []
        except LookupError as error:
            return value, [source.problem(path, str(error.args[0]))]
    found: list[Problem] = []
    if isinstance(value, Mapping):
        table: dict[str, object] = {}
        for key, each in value.items():
            table[str(key)], wrong = expand_tree(each, environ, source, (*path, str(key)))
            found += wrong
        return table, found
    if isinstance(value, list | tuple):
        items: list[object] = []
        for each in value:
            item, wrong = expand_tree(each, environ, source, path)
            items.append(item)
            found += wrong
        return items, found
    return value, []
