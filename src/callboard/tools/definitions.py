"""What a stranger says of his tools, before a model is told: names, schemas, hashes, parameters of ours.

Everything here is a pure function. A definition from outside is text that a model will read and obey, so it
is held to a strict form, and known again by its hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from callboard.tools.source import ToolTraits

MAX_DEFINITION_BYTES = 64 * 1024
MAX_NAME_CHARS = 64
SEPARATOR = "__"

_NAME = re.compile(r"[A-Za-z0-9_-]+")
# C0 but for tab and line feed, DEL, C1, zero-width and bidirectional controls, the byte-order mark.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ENCODE = msgspec.json.Encoder(order="deterministic").encode


class SourceTool(Struct, frozen=True, kw_only=True):
    """A tool as its source describes it.

    Attributes:
        name: The source's own name for it; anything.
        input_schema: JSON Schema of its arguments.
        hints: What else the source claims (MCP's annotations), part of the fingerprint.
        read_only: Whether it is among the claims that the tool changes nothing.
        task_only: Whether it can only be run as a task of MCP's, which is not done here.
    """

    name: str
    description: str = ""
    input_schema: Raw = Raw(b'{"type":"object","properties":{}}')
    hints: Raw = Raw(b"{}")
    traits: ToolTraits = ToolTraits()
    read_only: bool = False
    task_only: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that was said of the tool, whatever the order of the keys."""
        said = (
            self.name,
            self.description,
            msgspec.json.decode(self.input_schema),
            msgspec.json.decode(self.hints),
        )
        return hashlib.sha256(_ENCODE(said)).hexdigest()


def canonical_name(source: str, tool: str) -> str:
    """``source__tool``; dots and slashes, which MCP allows in names and no dialect does, become ``_``.

    Raises:
        ValueError: The tool cannot have a name of that form; says why.
    """
    part = tool.replace(".", "_").replace("/", "_")
    if not _NAME.fullmatch(part):
        raise ValueError("its name has characters other than letters, digits, '_', '-', '.' and '/'")
    if SEPARATOR in part:
        raise ValueError(f"its name has '{SEPARATOR}' in it, which separates a server's name from a tool's")
    name = f"{source}{SEPARATOR}{part}"
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"its name is longer than {MAX_NAME_CHARS} characters with its server's before it")
    return name


def check_definition(tool: SourceTool) -> None:
    """See that a model may be told of ``tool``.

    Raises:
        ValueError: It may not; says why.
    """
    if tool.task_only:
        raise ValueError("it can only be run as a task, which is not done here")
    size = len(tool.description.encode(errors="replace")) + len(bytes(tool.input_schema))
    if size > MAX_DEFINITION_BYTES:
        raise ValueError(f"its definition has {size} bytes, more than {MAX_DEFINITION_BYTES}")
    schema = msgspec.json.decode(tool.input_schema)
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValueError("its schema is none of an object")
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError("its schema refers to another document")


def readable(text: str) -> str:
    """``text`` without the characters that hide, reorder or colour what stands around them."""
    return _CONTROLS.sub("", text)


def with_parameters(schema: Raw, extra: Mapping[str, str]) -> tuple[Raw, tuple[str, ...]]:
    """A schema that asks for more: each of ``extra`` as a required string with its description.

    The schema given is not changed. A parameter that the tool has already stays the tool's own.

    Returns:
        The schema, and the names that were added, to be taken out of the arguments by `without_parameters`.
    """
    if not extra:
        return schema, ()
    source: dict[str, object] = msgspec.json.decode(schema)
    properties, required = source.get("properties", {}), source.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return schema, ()
    added = tuple(name for name in extra if name not in properties)
    more = {name: {"type": "string", "description": extra[name]} for name in added}
    asked = {**source, "properties": {**properties, **more}, "required": [*required, *added]}
    return Raw(msgspec.json.encode(asked)), added


def without_parameters(arguments: Raw, names: tuple[str, ...]) -> Raw:
    """The arguments that the tool itself knows; what is no JSON object stays as it is."""
    if not names:
        return arguments
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Raw])
    except msgspec.DecodeError:
        return arguments
    return Raw(msgspec.json.encode({name: value for name, value in given.items() if name not in names}))


def _references(value: object) -> Iterator[str]:
    """Every ``$ref`` and ``$dynamicRef`` in a schema."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            for key, inner in each.items():
                if key in {"$ref", "$dynamicRef"} and isinstance(inner, str):
                    yield inner
                else:
                    waiting.append(inner)
        elif isinstance(each, list):
            waiting += each
