"""An external program as a tool: what is decided about it before it is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, TypeAlias

from msgspec import Struct

from callboard.secret import Secret

VariableType: TypeAlias = Literal["string", "integer", "number", "boolean"]

_BOOLEANS: Mapping[str, str] = {"true": "true", "1": "true", "false": "false", "0": "false"}


class ProcessLimits(Struct, frozen=True, kw_only=True):
    """What one process may use. Each limit holds for every process it starts, too, on its own account.

    Attributes:
        memory_mb: Address space in MiB. Runtimes that reserve much more than they use (Node.js, Java) need a
            large number here.
        cpu_seconds: Processor time.
        files: Open files, sockets and pipes among them.
        processes: Processes and threads it may add to those its user has already; None does not count them.
            The system counts them for the user as a whole, and for root not at all.
    """

    memory_mb: int | None = None
    cpu_seconds: int | None = None
    files: int | None = None
    processes: int | None = None


class Variable(Struct, frozen=True, kw_only=True):
    """An environment variable that a program may see, by name and type.

    Attributes:
        value: From the configuration; it goes before the environment of this process.
        default: Where neither has it.
        required: Without any of the three the program is not run.
    """

    name: str
    type: VariableType = "string"
    value: Secret | None = None
    default: Secret | None = None
    required: bool = False


class ToolProcess(Struct, frozen=True, kw_only=True):
    """An external tool.

    Attributes:
        name: What the model calls it.
        command: Program and arguments; no shell reads them.
        folder: Where it runs, and what a relative program path starts from; absolute.
        timeout_s: Seconds after which a call is ended, with everything that it started.
        idempotent: Running it twice does no harm.
        variables: What the operator declared; the program may declare more.
        enabled: Whether it is run at all.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    timeout_s: float = 60.0
    idempotent: bool = False
    variables: tuple[Variable, ...] = ()
    limits: ProcessLimits = ProcessLimits()
    enabled: bool = True


def variable_text(kind: VariableType, value: object) -> str:
    """``value`` as the text an environment variable holds.

    A string is taken for any type that it spells: what comes from an environment is a string already.

    Raises:
        ValueError: It is not of this type. The message does not repeat it: it may be a secret.
    """
    match value:
        case str():
            text = value
        case bool():
            text = str(value).lower() if kind == "boolean" else ""
        case int() | Decimal() | float():
            text = str(value) if kind in ("integer", "number") else ""
        case _:
            text = ""
    plain_string = kind == "string" and isinstance(value, str)
    if "\x00" in text or not (plain_string or _spells(kind, text)):
        raise ValueError(f"expected {_WANTED[kind]}")
    return _BOOLEANS[text.lower()] if kind == "boolean" else text


_WANTED: Mapping[VariableType, str] = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def _spells(kind: VariableType, text: str) -> bool:
    """Whether ``text`` reads as a value of a type other than string."""
    try:
        match kind:
            case "integer":
                int(text)
            case "number":
                float(text)
            case _:
                return kind == "boolean" and text.lower() in _BOOLEANS
    except ValueError:
        return False
    return True
