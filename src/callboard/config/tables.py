"""Checking the tables of a file against the structs of the schema: every mistake, not only the first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from callboard.config.problems import KeyPath, Problem, Source, choice, suggestion
from callboard.secret import Secret

T = TypeVar("T", bound=Struct)

IN_THE_HEADER = "name"
"""The field that is no key: ``[models.NAME]`` says it already."""

DISCRIMINATOR = "kind"
"""The key that is no field: it chose the struct."""

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "secret": "a string",
}
_TYPE = re.compile(r"`([a-z]+)(?: \| null)?`")


def check_table(shape: type[Struct], raw: object, source: Source, path: KeyPath) -> Iterator[Problem]:
    """Every problem of the table ``raw``, which should become a ``shape``."""
    if not isinstance(raw, Mapping):
        yield source.problem(path, "expected a table")
        return
    keys = {each.name: each for each in fields(shape) if each.name != IN_THE_HEADER}
    chosen = (DISCRIMINATOR,) if hasattr(shape, DISCRIMINATOR) else ()
    for key, value in raw.items():
        if key in chosen:
            continue
        if key not in keys:
            yield source.problem((*path, key), f"unknown key{suggestion(key, (*keys, *chosen))}")
        elif isinstance(keys[key].type, type) and issubclass(keys[key].type, Struct):
            yield from check_table(keys[key].type, value, source, (*path, key))
        elif isinstance(value, Mapping) and (inner := _table_among(keys[key].type)) is not None:
            yield from check_table(inner, value, source, (*path, key))
        else:
            yield from _check_value(keys[key], value, source, (*path, key))
    for key, field in keys.items():
        if field.required and key not in raw:
            yield source.problem((*path, key), "missing")


def build(shape: type[T], raw: Mapping[str, object]) -> T:
    """The struct for a table in which `check_table` finds nothing."""
    return msgspec.convert(dict(raw), shape, dec_hook=_wrap)


def _check_value(field: FieldInfo, value: object, source: Source, path: KeyPath) -> Iterator[Problem]:
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        yield source.problem(path, "expected a finite number")
        return
    try:
        msgspec.convert(value, field.type, dec_hook=_wrap)
    except msgspec.ValidationError as error:
        message = _expectation(field.type, value, error)
        # A number is worth repeating; a string may be a secret that was put into the wrong place.
        got = f", got {value}" if isinstance(value, int | float | Decimal) and "got" not in message else ""
        yield source.problem(path, message + got)


def _wrap(wanted: type, value: object) -> object:
    """What msgspec does not know how to make: secrets, and values that are kept as they are."""
    if wanted is object:
        return value
    if wanted is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError("Expected `secret`")


def _expectation(wanted: object, value: object, error: msgspec.ValidationError) -> str:
    """What was expected of ``value``, which ``error`` says it is not."""
    allowed = _literals(wanted)
    others = tuple(each for each in get_args(wanted) if not _literals(each) and each is not NoneType)
    if not allowed:
        return _plain(str(error))
    if not others or get_origin(wanted) is Literal:
        return f"expected {choice(allowed)}"
    try:  # a choice between words and something else
        msgspec.convert(value, Union[others], dec_hook=_wrap)  # noqa: UP007 - of as many as there are
    except msgspec.ValidationError as other:
        expected, comma, got = _plain(str(other)).partition(", got")
        return f"{expected} or {choice(allowed)}{comma}{got}"
    return _plain(str(error))


def _plain(message: str) -> str:
    """A message of msgspec in the words of TOML."""
    text = message.partition(" - at ")[0].replace("Expected", "expected", 1)
    return _TYPE.sub(lambda match: _WORDS.get(match.group(1), match.group(1)), text)


def _table_among(wanted: object) -> type[Struct] | None:
    """The table that a type allows besides something else."""
    tables = (each for each in get_args(wanted) if isinstance(each, type) and issubclass(each, Struct))
    return next(tables, None)


def _literals(wanted: object) -> tuple[str, ...]:
    """The strings that a type allows; none where it is not a choice of strings."""
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    if get_origin(wanted) in {Union, UnionType}:
        return tuple(each for part in get_args(wanted) for each in _literals(part))
    return ()
