"""A Python function's signature as a JSON Schema for the model and a struct for the decoder.

Both come from the same type hints, through msgspec, so what the schema promises is what the decoder accepts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from callboard.errors import ConfigurationError
from callboard.tools import foreign
from callboard.tools.context import ToolContext

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):")
_ARGUMENT = re.compile(r"(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)")


class Signature(Struct, frozen=True, kw_only=True):
    """What a function takes.

    Attributes:
        description: The docstring before its first section.
        schema: Object schema of the parameters; references are local, unknown names are forbidden.
        model: One field per parameter; a parameter with a default is ``UNSET`` where the model left it out,
            so that the function's own default applies, of whatever type it is.
        context: Name of the parameter that takes the call's `ToolContext`; the model is not told of it.
    """

    description: str
    schema: Raw
    model: type[Struct]
    context: str | None = None


def read(function: Callable[..., object]) -> Signature:
    """Read the signature and the Google-style docstring of ``function``.

    Descriptions of parameters come from ``Annotated[int, "text"]`` or ``Annotated[int, msgspec.Meta(...)]``,
    else from the docstring's ``Args:``.

    Raises:
        ConfigurationError: A parameter cannot be passed by name, has no type hint, or has one that JSON
            cannot carry; or two take a context.
    """
    hints = _hints(function)
    context = _take_context(hints, _name(function))
    hoisted: dict[str, object] = {}
    description, documented = read_docstring(inspect.getdoc(function) or "")
    names = list(hints)
    try:
        schemas, definitions = msgspec.json.schema_components(
            [hint for hint, _ in hints.values()], schema_hook=_hook(hoisted), ref_template="#/$defs/{name}"
        )
        model = msgspec.defstruct(
            "Arguments",
            [_field(name, hint, parameter) for name, (hint, parameter) in hints.items()],
            kw_only=True,
            forbid_unknown_fields=True,
        )
        msgspec.json.Decoder(model, dec_hook=foreign.decode)
    except TypeError as error:
        raise ConfigurationError(f"tool {_name(function)}: {' '.join(str(error).split())}") from error
    properties = dict(zip(names, schemas, strict=True))
    for name, (_, parameter) in hints.items():
        _annotate(properties[name], documented.get(name), parameter.default)
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name, (_, parameter) in hints.items() if parameter.default is Parameter.empty],
        "additionalProperties": False,
    }
    if both := {name for name in definitions if hoisted.get(name, definitions[name]) != definitions[name]}:
        raise ConfigurationError(f"tool {_name(function)}: two types are named {min(both)!r}; rename one")
    if definitions or hoisted:
        schema["$defs"] = hoisted | definitions
    encoded = Raw(msgspec.json.encode(schema))
    return Signature(description=description, schema=encoded, model=model, context=context)


def read_docstring(text: str) -> tuple[str, Mapping[str, str]]:
    """A cleaned Google-style docstring as its description and the texts of its ``Args:`` section."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        if heading := _SECTION.fullmatch(line.rstrip()):
            current = heading[1]
            sections.setdefault(current, [])
        else:
            sections[current].append(line)
    documented: dict[str, str] = {}
    name = ""
    listed = [line for key in ("Args", "Arguments", "Parameters") for line in sections.get(key, ())]
    margin = min((_indent(line) for line in listed if line.strip()), default=0)
    for line in listed:
        if _indent(line) == margin and (entry := _ARGUMENT.fullmatch(line.strip())):
            name = entry["name"]
            documented[name] = entry["text"]
        elif name and line.strip():
            documented[name] = f"{documented[name]} {line.strip()}".strip()
    return "\n".join(sections[""]).strip(), documented


def _hints(function: Callable[..., object]) -> dict[str, tuple[Any, Parameter]]:
    """Type hint and parameter of each name, in order, plain-text annotations turned into descriptions."""
    tool = _name(function)
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigurationError(f"tool {tool}: a type hint cannot be resolved: {error}") from error
    found: dict[str, tuple[Any, Parameter]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise ConfigurationError(f"tool {tool}: parameter {parameter} cannot be passed by name")
        if name not in hints:
            raise ConfigurationError(f"tool {tool}: parameter {name!r} needs a type hint")
        found[name] = (_described(hints[name]), parameter)
    return found


def _take_context(hints: dict[str, tuple[Any, Parameter]], tool: str) -> str | None:
    """Take the parameter for the call's context out of ``hints``, which is changed; its name."""
    takers = [name for name, (hint, _) in hints.items() if ToolContext in (hint, *get_args(hint))]
    if len(takers) > 1:
        raise ConfigurationError(f"tool {tool}: {' and '.join(takers)} both take a context; one is enough")
    for name in takers:
        del hints[name]
    return takers[0] if takers else None


def _described(hint: Any) -> Any:
    """``Annotated[T, "text"]`` as ``Annotated[T, Meta(description="text")]``; other hints as they are."""
    if get_origin(hint) is not Annotated:
        return hint
    inner, *notes = get_args(hint)
    for note in notes:
        if isinstance(note, str):
            inner = Annotated[inner, msgspec.Meta(description=note)]
        elif isinstance(note, msgspec.Meta):
            inner = Annotated[inner, note]
    return inner


def _field(name: str, hint: Any, parameter: Parameter) -> tuple[str, Any] | tuple[str, Any, Any]:
    return (name, hint) if parameter.default is Parameter.empty else (name, hint | UnsetType, UNSET)


def _annotate(schema: dict[str, Any], description: str | None, default: object) -> None:
    """Add what the hint alone does not say; a default that JSON cannot carry stays the function's secret."""
    if description:
        schema.setdefault("description", description)
    if default is not Parameter.empty:
        try:
            schema["default"] = Raw(msgspec.json.encode(default))
        except (TypeError, ValueError, OverflowError):
            return


def _hook(hoisted: dict[str, object]) -> Callable[[type], dict[str, Any]]:
    """Schemas of types that msgspec does not know; the definitions they refer to go into ``hoisted``."""

    def schema_of(hint: type) -> dict[str, Any]:
        if hint is object:
            # Any JSON value; msgspec counts an empty schema as none, hence the words.
            return {"description": "Any JSON value."}
        if not foreign.is_model(hint):
            raise NotImplementedError
        schema = dict(hint.model_json_schema(ref_template="#/$defs/{model}"))
        definitions = schema.pop("$defs", {})
        for name, each in definitions.items() if isinstance(definitions, dict) else ():
            if hoisted.setdefault(name, each) != each:
                raise TypeError(f"two types are named {name!r}; rename one")
        return schema

    return schema_of


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _name(function: Callable[..., object]) -> str:
    return repr(getattr(function, "__name__", str(function)))
