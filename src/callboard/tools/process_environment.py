"""The environment of an external tool: a few names that every program needs, and those that were declared.

A value comes from the configuration, else from our own environment, else from a default: the operator's
before the program's. What nobody declared does not get through, and what was declared as a number is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callboard.domain.tool_process import Variable, variable_text
from callboard.secret import Secret

INHERITED = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
"""Passed on as they are. Source: what the MCP SDK hands to a server on stdio, by default, on POSIX."""

OURS = {"LC_CTYPE": "C.UTF-8"}
"""What is read and written is UTF-8, and the program may know it."""


def minimal(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that any program gets.

    Args:
        environ: Our own.
    """
    # Bash exports functions as values that begin so; to run them is what Shellshock was about.
    kept = {name: environ[name] for name in INHERITED if name in environ}
    return OURS | {name: value for name, value in kept.items() if not value.startswith("()")}


def declared(
    operators: Iterable[Variable], programs: Iterable[Variable], environ: Mapping[str, str]
) -> dict[str, str]:
    """Values of the variables that the operator or the program declared; those without one are left out.

    Where both declared one, the operator's type counts, and either's default.

    Raises:
        ValueError: One that is required has no value, or one is not of its type; says which, not its value.
    """
    defaults = {each.name: each for each in programs}
    wanted = {**defaults, **{each.name: each for each in operators}}
    found: dict[str, str] = {}
    for name, variable in wanted.items():
        ways = (variable.value, environ.get(name), variable.default, defaults.get(name, variable).default)
        first = next((each for each in ways if each is not None), None)
        text = first.reveal() if isinstance(first, Secret) else first
        if text is not None:
            try:
                found[name] = variable_text(variable.type, text)
            except ValueError as error:
                raise ValueError(f"environment variable {name}: {error}") from error
        elif variable.required:
            raise ValueError(f"environment variable {name} is required and has no value")
    return found
