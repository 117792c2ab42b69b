"""The guard before every JSON document that strangers send, and decoding with our errors.

msgspec refuses malformed JSON, NaN, Infinity, lone surrogates and invalid UTF-8 by itself wherever it builds
the value. What it does not bound or notice is checked here: size, depth, number of values, keys of one
object, digits of one number, and duplicate keys. Each check has a cheap form that settles nearly every
document, and an exact form for the rest:

- Values: a document of 2N bytes cannot hold more than N of them. A larger one is measured without its
  strings (`callboard.wire.structure`), piece by piece.
- Depth: the value is built by a decoder whose type is itself only a few levels deep. What is deeper is
  measured too.
- Keys of one object: a document of 5N bytes or with N colons cannot hold an object with more. It is measured
  otherwise, and objects are told from each other only once all of them together have more than N keys.
- Digits: a number of more than N digits must cover one of the positions N, 2N+1, 3N+2 …; only those are
  looked at, unless the document is measured anyway.
- Duplicate keys: decoding drops one of two pairs, so that fewer keys are left than were measured. Where
  nothing was, encoding what was decoded cannot give the same bytes again. Where it does not because of spaces
  or escapes, the colons are counted: a dropped pair takes one away, and those within strings survive, unless
  they were written as an escape, and that is searched for. What remains is measured after all.

A large document takes tens of milliseconds, so that `checking` does it in steps, between which a server lets
others work.

Source: RFC 8259; section 4 leaves duplicate names, section 9 limits to the implementation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from callboard.domain.steps import Steps, at_once
from callboard.errors import LocalWireError, RemoteWireError, TooLarge
from callboard.wire.structure import Structure

T = TypeVar("T")

Side: TypeAlias = Literal["local", "remote"]
"""Whose bytes they are: ``local`` is our client's (400), ``remote`` an upstream's (502)."""


class JsonLimits(Struct, frozen=True, kw_only=True):
    """What a document may need.

    Attributes:
        max_nodes: Values, containers included.
        max_keys: Keys of one object. It is our own bound, far above what requests and schemas hold that we
            have seen: an object is built and copied in one go wherever it stands.
        max_digits: Characters of one number, sign, point and exponent included.
        max_number_bytes: Characters of all numbers together: long ones take long to read.
    """

    max_bytes: int = 8 << 20
    max_depth: int = 64
    max_nodes: int = 100_000
    max_keys: int = 5_000
    max_digits: int = 1_000
    max_number_bytes: int = 2 << 20


DEFAULT_LIMITS = JsonLimits()

_NUMBER = b"0123456789+-.eE"
_encode = msgspec.json.Encoder().encode
_Scalar = None | bool | int | float | str
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


STEP_BYTES = 128 * 1024
"""So much of a large document is measured in one step."""

FEW_NODES = 5_000
"""Up to so many values, the keys of a large document are counted sooner than its texts are encoded."""


def check(body: bytes, *, side: Side = "local", limits: JsonLimits = DEFAULT_LIMITS) -> None:
    """Refuse what must not be decoded, or not be passed on.

    Raises:
        TooLarge: The client's body exceeds ``max_bytes``.
        LocalWireError: The client's body breaks JSON or a limit.
        RemoteWireError: The same of an upstream's body.
    """
    at_once(checking(body, side=side, limits=limits))


def checking(body: bytes, *, side: Side = "local", limits: JsonLimits = DEFAULT_LIMITS) -> Steps[None]:
    """`check` in steps of a few milliseconds, or tens where millions of escapes are read.

    Exhaust it: only then has the body passed. Raises as `check` does, on the step that finds it out.
    """
    if len(body) > limits.max_bytes:
        message = f"the JSON body exceeds {limits.max_bytes} bytes"
        raise TooLarge(message) if side == "local" else RemoteWireError(message)
    structure = None
    if len(body) > min(2 * limits.max_nodes, limits.max_number_bytes):
        structure = yield from measuring(body, side=side, limits=limits)
    elif len(body) > limits.max_digits and _may_exceed(body, limits):
        structure = _measured(body, side, limits)
    try:
        value = _build(body, structure, side, limits)
        if (
            structure is not None
            and structure.nodes <= FEW_NODES
            and structure.keys == (yield from _counting_keys(value))
        ):
            return
        if len(body) > STEP_BYTES:
            yield
        again = _encode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"the body is not valid JSON: {error}", side, code="invalid_json") from error
    if again != body:
        if len(body) > STEP_BYTES:
            yield
        if again.count(b":") != body.count(b":") or b"\\u003" in body:
            del again
            keys = yield from _counting_keys(value)
            if keys != (structure or _measured(body, side, limits)).keys:
                raise _duplicate(body, side)


def measuring(body: bytes, *, side: Side, limits: JsonLimits) -> Steps[Structure]:
    """Hold a document's values and numbers against the limits in steps, without building any; see `checking`.

    Returns:
        What was measured, when exhausted.

    Raises:
        LocalWireError: The client's body breaks a limit.
        RemoteWireError: An upstream's does.
    """
    structure = Structure()
    for at in range(0, len(body), STEP_BYTES):
        structure.feed(body[at : at + STEP_BYTES])
        _hold(structure, side, limits)
        yield
    return structure


def decode(
    body: bytes | msgspec.Raw, decode_typed: Callable[[bytes | msgspec.Raw], T], *, side: Side, at: str = ""
) -> T:
    """Decode with a typed msgspec decoder's ``decode``, in our errors.

    Args:
        body: The document, or a part of one.
        decode_typed: Of the decoder.
        side: Whose bytes they are.
        at: Where in its document the part stands, e.g. ``input[2]``.

    Raises:
        LocalWireError: ``param`` names the field, in the form ``messages[1].content``.
        RemoteWireError: An upstream's body breaks JSON or its dialect.
    """
    try:
        return decode_typed(body)
    except msgspec.ValidationError as error:
        text = str(error)
        missing = _MISSING.match(text)
        path = _PATH.search(text)
        if not at and path is None and missing is None:
            raise refusal(text, side) from error
        steps = (at, path and path.group(1), missing and missing.group(1))
        where = ".".join(step for step in steps if step) or None
        raise refusal(_PATH.sub("", text), side, param=where, code="invalid_type") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"the body is not valid JSON: {error}", side, code="invalid_json") from error


def refusal(
    message: str, side: Side, *, param: str | None = None, code: str | None = None
) -> LocalWireError | RemoteWireError:
    """The error that says ``message`` of that side's bytes."""
    if side == "local":
        at = f"Invalid value for '{param}': " if param else ""
        return LocalWireError(at + message, param=param, code=code)
    return RemoteWireError(f"{message} (at {param})" if param else message, upstream_code=code)


def _shallow(depth: int) -> msgspec.json.Decoder[object]:
    """A decoder of JSON whose containers nest at most ``depth`` deep; each level doubles its own size."""
    kind: object = _Scalar
    for _ in range(depth):
        kind = _Scalar | list[kind] | dict[str, kind]  # type: ignore[valid-type]
    return msgspec.json.Decoder(kind)


_SHALLOW_LEVELS = 8
_SHALLOW = _shallow(_SHALLOW_LEVELS)
_ANY = msgspec.json.Decoder()


def _build(body: bytes, structure: Structure | None, side: Side, limits: JsonLimits) -> object:
    """The value, once it is known not to be too deep; ``structure`` is the body's, where it was measured."""
    if limits.max_depth >= _SHALLOW_LEVELS:
        try:
            return _SHALLOW.decode(body)
        except msgspec.ValidationError:
            pass  # deeper than that, or a number out of range: the full decoder will say
    if (structure or _measured(body, side, limits)).is_deeper_than(limits.max_depth):
        message = f"the JSON is nested deeper than {limits.max_depth} levels"
        raise refusal(message, side, code="json_too_deep")
    return _ANY.decode(body)


def _measured(body: bytes, side: Side, limits: JsonLimits) -> Structure:
    structure = Structure()
    structure.feed(body)
    _hold(structure, side, limits)
    return structure


def _hold(structure: Structure, side: Side, limits: JsonLimits) -> None:
    """Hold what was counted so far against the limits."""
    if structure.nodes > limits.max_nodes:
        message = f"the JSON holds more than {limits.max_nodes} values"
        raise refusal(message, side, code="json_too_complex")
    if structure.keys > limits.max_keys and structure.largest_object() > limits.max_keys:
        message = f"an object in the JSON has more than {limits.max_keys} keys"
        raise refusal(message, side, code="json_too_many_keys")
    if structure.longest_number > limits.max_digits:
        message = f"a number in the JSON has more than {limits.max_digits} digits"
        raise refusal(message, side, code="json_number_too_long")
    if structure.number_bytes > limits.max_number_bytes:
        message = f"the numbers in the JSON have more than {limits.max_number_bytes} digits"
        raise refusal(message, side, code="json_number_too_long")


def _may_exceed(body: bytes, limits: JsonLimits) -> bool:
    """Whether a small document has to be measured: for the digits of a number, or the keys of an object."""
    if len(body) > 5 * limits.max_keys and body.count(b":") > limits.max_keys:
        return True
    return _has_long_run(body, limits.max_digits)


def _has_long_run(body: bytes, max_digits: int) -> bool:
    """Whether more than ``max_digits`` characters of numbers follow each other, be it within a string."""
    for at, byte in enumerate(body[max_digits :: max_digits + 1]):
        if byte in _NUMBER:
            position = max_digits + at * (max_digits + 1)
            before = body[position - max_digits : position]
            after = body[position : position + max_digits + 1]
            around = len(before.rstrip(_NUMBER)) + len(after.lstrip(_NUMBER))
            if len(before) + len(after) - around > max_digits:
                return True
    return False


def _counting_keys(value: object) -> Steps[int]:
    """How many keys all objects in it have, counted in steps."""
    keys, rest, seen = 0, [value], 0
    while rest:
        seen += 1
        if seen % FEW_NODES == 0:
            yield
        match rest.pop():
            case dict() as pairs:
                keys += len(pairs)
                rest.extend(pairs.values())
            case list() as values:
                rest.extend(values)
    return keys


def _duplicate(body: bytes, side: Side) -> LocalWireError | RemoteWireError:
    """What to say of a document in which an object has a key twice.

    Of a large one it is not said which: to find out would take long.
    """
    twice: list[str] = []

    def pairs(found: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in found:
            if key in seen:
                twice.append(key)
            seen.add(key)

    if len(body) <= STEP_BYTES:
        json.loads(body, object_pairs_hook=pairs)
    name = f"the key {twice[0][:64]!r}" if twice else "a key"
    return refusal(f"the JSON holds an object that has {name} twice", side, code="json_duplicate_key")
