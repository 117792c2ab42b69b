"""``[tools.NAME]``: an external program as a tool.

::

    [tools.weather]
    command = ["python3", "weather.py"]        # or one string, split as a shell would; none runs it
    timeout_seconds = 20
    idempotent = true
    env = { API_KEY = "${WEATHER_KEY}", RETRIES = { type = "integer", default = 3 }, TZ = {} }
    limits = { memory_mb = 512, cpu_seconds = 10 }
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from callboard.config.problems import KeyPath, Problem, Source
from callboard.config.tables import build, check_table
from callboard.domain.tool_process import ProcessLimits, ToolProcess, Variable, VariableType, variable_text
from callboard.secret import Secret

Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**40)]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # the names every dialect allows
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class LimitsTable(Struct, frozen=True, kw_only=True):
    """``limits``: what one process of the program may use; `ProcessLimits` says how each is meant."""

    memory_mb: Count = 1024
    cpu_seconds: Count = 60
    files: Count = 256
    processes: Count | None = None


class ToolTable(Struct, frozen=True, kw_only=True):
    """``[tools.NAME]`` as it is written; `ToolProcess` is what becomes of it.

    Attributes:
        command: A list of strings, or one string. A program with a slash in its name starts from the
            configuration file's folder, in which it runs; another is looked for in ``PATH``.
        env: For each variable its value, or a table of `VariableTable`.
    """

    command: object
    timeout_seconds: Annotated[float, Meta(gt=0)] = 60.0
    idempotent: bool = False
    env: Mapping[str, object] = {}
    limits: LimitsTable = LimitsTable()
    enabled: bool = True


class VariableTable(Struct, frozen=True, kw_only=True):
    """One entry of ``env``, as a table.

    Attributes:
        value: Goes before the environment that Callboard runs in; that goes before ``default``.
        required: Without any of the three, the tool is not available.
    """

    type: VariableType = "string"
    value: object = None
    default: object = None
    required: bool = False


def tool_process(
    name: str, table: ToolTable, folder: Path, source: Source
) -> tuple[ToolProcess | None, list[Problem]]:
    """The tool that a table describes, or None and what is wrong with it."""
    path = ("tools", name)
    found: list[Problem] = []
    if not _NAME.fullmatch(name):
        found.append(source.problem(path, "expected a name of 1 to 64 letters, digits, '_' or '-'"))
    command, fault = _command(table.command)
    if fault:
        found.append(source.problem((*path, "command"), fault))
    variables = []
    for each, entry in table.env.items():
        variable, wrong = _variable(each, entry, source, (*path, "env", each))
        found += wrong
        variables += [variable] if variable is not None else []
    if found:
        return None, found
    limits = table.limits
    tool = ToolProcess(
        name=name,
        command=command,
        folder=str(folder),
        timeout_s=table.timeout_seconds,
        idempotent=table.idempotent,
        variables=tuple(variables),
        limits=ProcessLimits(
            memory_mb=limits.memory_mb,
            cpu_seconds=limits.cpu_seconds,
            files=limits.files,
            processes=limits.processes,
        ),
        enabled=table.enabled,
    )
    return tool, []


def _command(written: object) -> tuple[tuple[str, ...], str]:
    """Program and arguments, or what is wrong with them."""
    words: list[str] = []
    if isinstance(written, str):
        try:
            words = shlex.split(written)
        except ValueError:
            return (), "a quotation has no end"
    elif isinstance(written, list | tuple):
        words = [each for each in written if isinstance(each, str)]
    if not isinstance(written, str) and (not isinstance(written, list | tuple) or len(words) != len(written)):
        return (), "expected a list of strings, or one string"
    if not words or not words[0]:
        return (), "empty; expected the program and its arguments"
    if any("\x00" in each for each in words):
        return (), "no argument can have a null character"
    return tuple(words), ""


def _variable(
    name: str, entry: object, source: Source, path: KeyPath
) -> tuple[Variable | None, list[Problem]]:
    """One entry of ``env``, or None and what is wrong; a value, which may be secret, is never repeated."""
    if not _VARIABLE_NAME.fullmatch(name):
        return None, [source.problem(path, "not the name of an environment variable")]
    if not isinstance(entry, Mapping):
        entry = {"value": entry, "type": _type_of(entry)}
    wrong = list(check_table(VariableTable, entry, source, path))
    if wrong:
        return None, wrong
    table = build(VariableTable, entry)
    texts: dict[str, Secret | None] = {}
    for key, value in (("value", table.value), ("default", table.default)):
        try:
            texts[key] = None if value is None else Secret(variable_text(table.type, value))
        except ValueError as error:
            wrong.append(source.problem((*path, key) if (*path, key) in source.lines else path, str(error)))
    if wrong:
        return None, wrong
    variable = Variable(
        name=name, type=table.type, value=texts["value"], default=texts["default"], required=table.required
    )
    return variable, []


def _type_of(value: object) -> VariableType:
    """The type of a value that stands alone."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case Decimal() | float():
            return "number"
        case _:
            return "string"
