"""The arguments a model wrote, checked before a tool sees them.

Two checks of different depth: `decode` against Python types, complete; `check` against a JSON Schema of
somebody else's making, only as deep as it takes to answer the usual mistakes in words. Both write their
refusal for the model: where, what is wrong, and what the parameters are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, ValidationError

from callboard.errors import InvalidArguments
from callboard.tools import foreign

T = TypeVar("T", bound=Struct)

# msgspec ends its messages with the place, e.g. "Expected `int`, got `str` - at `$.a[0]`".
_PLACE = re.compile(r" - at `(?P<path>[^`]*)`$")
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "string": str,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_FIELD = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")


def decode(tool: str, arguments: Raw, model: type[T], schema: Raw) -> T:
    """``arguments`` as an instance of ``model``.

    Lenient where a model's meaning is plain: ``"3"`` and ``3.0`` are taken for an int and ``"true"`` for a
    bool where the type leaves no other reading (``int | str`` keeps the string), and no text at all is
    ``{}``. Anything else that does not fit is refused; so is an unknown name, most often a misspelt one.

    Args:
        tool: The tool's name, for the message.
        arguments: What the model wrote, any bytes.
        model: A struct with one field per parameter.
        schema: The tool's JSON Schema, for the message.

    Raises:
        InvalidArguments: ``param`` is the path of the first mistake, e.g. ``$.city``.
    """
    try:
        return msgspec.json.decode(
            bytes(arguments).strip() or b"{}", type=model, strict=False, dec_hook=foreign.decode
        )
    except ValidationError as error:
        raise _refusal(tool, str(error), schema) from error
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(tool, error, schema) from error


def check(tool: str, arguments: Raw, schema: Raw) -> None:
    """Check ``arguments`` against the outline of a JSON Schema, for tools that have nothing better.

    Checked: the arguments are one JSON object, the required names are there, no name is unknown where
    ``additionalProperties`` is false, and each property whose schema states ``type`` has one of those types,
    or is null where it is not required, as models write what they leave out.
    Not checked: everything inside nested values, ``$ref``, ``anyOf`` and its kin, enums, ranges, patterns and
    formats. Their owner, the tool, checks them; so a schema from a stranger costs us no more than one pass.

    Raises:
        InvalidArguments: As `decode`.
    """
    try:
        values = msgspec.json.decode(bytes(arguments).strip() or b"{}", type=dict[str, object])
    except ValidationError as error:
        raise _refusal(tool, str(error), schema) from error
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(tool, error, schema) from error
    outline = _outline(schema)
    for name in outline.required:
        if name not in values:
            raise _refusal(tool, f"Object missing required field `{name}`", schema)
    for name, value in values.items():
        if name in outline.properties:
            types = _types(outline.properties[name])
            left_out = value is None and name not in outline.required
            if types and not left_out and not any(_is_a(value, each) for each in types):
                raise _refusal(tool, f"Expected `{' | '.join(types)}` - at `$.{name}`", schema)
        elif outline.additional is False:
            raise _refusal(tool, f"Object contains unknown field `{name}`", schema)


class _Outline(Struct, frozen=True):
    """The part of an object schema that `check` and the messages read."""

    properties: Mapping[str, Raw] = {}
    required: tuple[str, ...] = ()
    additional: object = msgspec.field(default=True, name="additionalProperties")


class _Property(Struct, frozen=True):
    """The part of a property's schema that `check` and the messages read."""

    type: str | tuple[str, ...] | UnsetType = UNSET


def _outline(schema: Raw) -> _Outline:
    """The outline of ``schema``; an empty one for a schema we cannot read, which then forbids nothing."""
    try:
        return msgspec.json.decode(schema, type=_Outline)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return _Outline()


def _types(schema: Raw) -> tuple[str, ...]:
    """The JSON types a property may have; none where its schema does not say."""
    try:
        stated = msgspec.json.decode(schema, type=_Property).type
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return ()
    if isinstance(stated, UnsetType):
        return ()
    return (stated,) if isinstance(stated, str) else stated


def _is_a(value: object, json_type: str) -> bool:
    """Whether a decoded value has the JSON type; true for a type we do not know."""
    if isinstance(value, bool):  # a bool is an int to Python
        return json_type == "boolean" or json_type not in _PYTHON_TYPES
    if isinstance(value, float) and json_type == "integer":
        return value.is_integer()
    return isinstance(value, _PYTHON_TYPES.get(json_type, object))


def _no_json(tool: str, error: Exception, schema: Raw) -> InvalidArguments:
    return _refusal(tool, f"They are not valid JSON ({error})", schema)


def _refusal(tool: str, problem: str, schema: Raw) -> InvalidArguments:
    """The refusal for the model: what is wrong, where, and what the tool takes."""
    path = "$"
    if place := _PLACE.search(problem):
        path, problem = place["path"], problem[: place.start()] + f" at `{place['path']}`"
    elif field := _FIELD.search(problem):
        path = f"$.{field['name']}"
    return InvalidArguments(
        f"Invalid arguments for tool {tool!r}: {problem}. {_parameters(schema)}",
        param=path,
        code="invalid_arguments",
    )


def _parameters(schema: Raw) -> str:
    """One sentence that lists them: ``Parameters: city (string, required), days (integer).``."""
    outline = _outline(schema)
    if not outline.properties:
        return "The tool takes no parameters."
    listed = []
    for name, raw in outline.properties.items():
        notes = [" or ".join(_types(raw))] if _types(raw) else []
        notes += ["required"] if name in outline.required else []
        listed.append(f"{name} ({', '.join(notes)})" if notes else name)
    return f"Parameters: {', '.join(listed)}."
