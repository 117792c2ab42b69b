"""What an external tool says of itself: ``--usage`` and ``--health``, read strictly.

Source: Skylark, pkg/tool/tool.go, at 5395fea8. ``--usage`` prints ``{"schema": {"name", "description",
"parameters"}, "env": {NAME: {"type", "description", "default"}}}``; ``--health`` prints ``{"status": bool,
"details": string}``, of which only ``status`` has to be there. Further members are nobody's concern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from callboard.domain.tool_process import Variable, VariableType, variable_text
from callboard.domain.tools import ToolDefinition
from callboard.secret import Secret

MAX_USAGE_BYTES = 256 * 1024
MAX_VARIABLES = 100

_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class _Schema(Struct, frozen=True):
    name: str = ""
    description: str = ""
    parameters: Raw = _NO_PARAMETERS


class _Declared(Struct, frozen=True):
    type: VariableType = "string"
    default: object = None


class _Parameters(Struct, frozen=True):
    """What any object schema has."""

    type: Literal["object"]
    properties: Mapping[str, object] = {}
    required: tuple[str, ...] = ()


class _Usage(Struct, frozen=True):
    schema: _Schema
    env: Mapping[str, _Declared] | None = None


class _Health(Struct, frozen=True):
    status: bool
    details: object = ""


class Usage(Struct, frozen=True, kw_only=True):
    """What ``--usage`` said.

    Attributes:
        definition: For the model, under the operator's name for the tool.
        variables: Environment variables the program wants; their values are somebody else's to know.
    """

    definition: ToolDefinition
    variables: tuple[Variable, ...] = ()


def read_usage(name: str, output: bytes) -> Usage:
    """Read what ``--usage`` printed.

    Args:
        name: What the operator calls the tool, and so the model.
        output: The program's standard output.

    Raises:
        ValueError: It is not what it should be; says why, and repeats nothing of it.
    """
    try:
        usage = msgspec.json.decode(output, type=_Usage)
        parameters = msgspec.json.decode(usage.schema.parameters, type=dict[str, object])
        msgspec.json.decode(usage.schema.parameters, type=_Parameters)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"--usage did not print what it should: {_reason(error)}") from error
    if not all(each.startswith("#") for each in _references(parameters)):
        raise ValueError("--usage: a reference in the schema leads out of it")
    declared = usage.env or {}
    if len(declared) > MAX_VARIABLES:
        raise ValueError(f"--usage: more than {MAX_VARIABLES} environment variables")
    return Usage(
        definition=ToolDefinition(
            name=name, description=usage.schema.description, input_schema=Raw(bytes(usage.schema.parameters))
        ),
        variables=tuple(_variable(each, wanted) for each, wanted in declared.items()),
    )


def read_health(output: bytes) -> tuple[bool, str]:
    """Whether a program says it is well, and what it says to that.

    Raises:
        ValueError: ``--health`` did not print what it should; says why, and repeats nothing of it.
    """
    try:
        health = msgspec.json.decode(output, type=_Health)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"--health did not print what it should: {_reason(error)}") from error
    details = health.details
    return health.status, details if isinstance(details, str) else msgspec.json.encode(details).decode()


def _variable(name: str, declared: _Declared) -> Variable:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ValueError("--usage: an environment variable has a name that no variable can have")
    if declared.default is None:
        return Variable(name=name, type=declared.type)
    try:
        default = variable_text(declared.type, declared.default)
    except ValueError as error:
        raise ValueError(f"--usage: the default of {name}: {error}") from error
    return Variable(name=name, type=declared.type, default=Secret(default))


def _references(schema: object) -> Iterator[str]:
    """Every ``$ref`` in a schema; the decoder has seen to it that it is not nested too deeply."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _reason(error: Exception) -> str:
    """What msgspec says where it is about form; it repeats no values but those of enumerations."""
    if isinstance(error, msgspec.ValidationError):
        return re.sub(r"Invalid enum value .* - at", "Unknown type - at", str(error), flags=re.DOTALL)
    return "it is no JSON"
