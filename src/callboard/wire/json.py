"""The guard before every JSON document that strangers send, and decoding with our errors.

msgspec refuses malformed JSON, NaN, Infinity, lone surrogates and invalid UTF-8 by itself wherever it builds
the value. What it does not bound or notice is checked here: size, depth, number of values, digits of one
number, and duplicate keys. Each check has a cheap form that settles nearly every document, and an exact form
for the rest:

- Values: a document of 2N bytes cannot hold more than N of them. A larger one is stripped of its strings and
  its commas and brackets are counted.
- Depth: the value is built by a decoder whose type is itself only a few levels deep. What is deeper is
  stripped of its strings, and its brackets are taken away from the innermost outward.
- Digits: a number of more than N digits must cover one of the positions N, 2N+1, 3N+2 …; only those are
  looked at.
- Duplicate keys: decoding drops one of two pairs, so encoding what was decoded cannot give the same bytes
  again. Where it does not because of spaces or escapes, the colons are counted: a dropped pair takes one
  away, and those within strings survive, unless they were written as an escape, and that is searched for.

Source: RFC 8259; section 4 leaves duplicate names, section 9 limits to the implementation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from callboard.errors import LocalWireError, RemoteWireError, TooLarge

T = TypeVar("T")
Side: TypeAlias = Literal["local", "remote"]
"""Whose bytes they are: ``local`` is our client's (400), ``remote`` an upstream's (502)."""


class JsonLimits(Struct, frozen=True, kw_only=True):
    """What a document may need.

    Attributes:
        max_nodes: Values, containers included.
        max_digits: Characters of one number, sign, point and exponent included.
        max_number_bytes: Characters of all numbers together: long ones take long to read.
    """

    max_bytes: int = 8 << 20
    max_depth: int = 64
    max_nodes: int = 100_000
    max_digits: int = 1_000
    max_number_bytes: int = 2 << 20


DEFAULT_LIMITS = JsonLimits()

_NUMBER = b"0123456789+-.eE"
_NO_NUMBER = bytes(0x20 if byte not in _NUMBER else byte for byte in range(256))
_UNIFORM_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_encode = msgspec.json.Encoder().encode
_Scalar = None | bool | int | float | str
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def check(body: bytes, *, side: Side = "local", limits: JsonLimits = DEFAULT_LIMITS) -> None:
    """Refuse what must not be decoded, or not be passed on.

    Raises:
        TooLarge: The client's body exceeds ``max_bytes``.
        LocalWireError: The client's body breaks JSON or a limit.
        RemoteWireError: The same of an upstream's body.
    """
    if len(body) > limits.max_bytes:
        message = f"the JSON body exceeds {limits.max_bytes} bytes"
        raise TooLarge(message) if side == "local" else RemoteWireError(message)
    if len(body) > 2 * limits.max_nodes:
        _check_nodes(body, side, limits.max_nodes)
    if len(body) > limits.max_digits:
        _check_digits(body, side, limits.max_digits)
    if len(body) > limits.max_number_bytes:
        _check_numbers(body, side, limits.max_number_bytes)
    try:
        again = _encode(_build(body, side, limits))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"the body is not valid JSON: {error}", side, code="invalid_json") from error
    if again != body and (again.count(b":") != body.count(b":") or b"\\u003" in body):
        _check_duplicates(body, side)


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


def _build(body: bytes, side: Side, limits: JsonLimits) -> object:
    """The value, once it is known not to be too deep."""
    if limits.max_depth >= _SHALLOW_LEVELS:
        try:
            return _SHALLOW.decode(body)
        except msgspec.ValidationError:
            pass  # deeper than that, or a number out of range: the full decoder will say
    _check_depth(body, side, limits)
    return _ANY.decode(body)


def _check_depth(body: bytes, side: Side, limits: JsonLimits) -> None:
    structure = _without_strings(body, side, limits.max_nodes)
    # Each pass takes the innermost brackets away, so the tree becomes lower by exactly one. What is left is
    # too deep, or does not match and is refused anyway.
    brackets = structure.translate(_UNIFORM_BRACKETS, _NO_BRACKETS)
    for _ in range(limits.max_depth):
        brackets = brackets.replace(b"()", b"")
    if brackets:
        message = f"the JSON is nested deeper than {limits.max_depth} levels"
        raise refusal(message, side, code="json_too_deep")


def _check_nodes(body: bytes, side: Side, max_nodes: int) -> None:
    structure = _without_strings(body, side, max_nodes).translate(None, b" \t\r\n")
    filled = structure.count(b"[") + structure.count(b"{") - structure.count(b"[]") - structure.count(b"{}")
    # Each container that is not empty holds one value more than it has commas; the outermost is one itself.
    if 1 + structure.count(b",") + filled > max_nodes:
        raise refusal(f"the JSON holds more than {max_nodes} values", side, code="json_too_complex")


def _without_strings(body: bytes, side: Side, max_nodes: int) -> bytes:
    """The document with each string cut down to one quotation mark."""
    if b"\\" in body:
        # Left to right, so that a pair of backslashes is one escape and never hides the quote after it.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * max_nodes:  # a value has at most one key, each at most two quotes
        raise refusal(f"the JSON holds more than {max_nodes} values", side, code="json_too_complex")
    return b'"'.join(body.split(b'"')[::2])


def _check_digits(body: bytes, side: Side, max_digits: int) -> None:
    for at, byte in enumerate(body[max_digits :: max_digits + 1]):
        if byte in _NUMBER:
            position = max_digits + at * (max_digits + 1)
            before = body[position - max_digits : position]
            after = body[position : position + max_digits + 1]
            around = len(before.rstrip(_NUMBER)) + len(after.lstrip(_NUMBER))
            if len(before) + len(after) - around > max_digits:
                break  # a run that long, though perhaps within a string
    else:
        return
    numbers = _without_strings(body, side, len(body)).translate(_NO_NUMBER).split()
    if max(map(len, numbers), default=0) > max_digits:
        message = f"a number in the JSON has more than {max_digits} digits"
        raise refusal(message, side, code="json_number_too_long")


def _check_numbers(body: bytes, side: Side, max_number_bytes: int) -> None:
    # Texts have digits too, so only a document of many is looked at without its strings.
    if len(body.translate(None, _NUMBER)) > len(body) - max_number_bytes:
        return
    bare = _without_strings(body, side, len(body))
    if len(bare) - len(bare.translate(None, _NUMBER)) > max_number_bytes:
        message = f"the numbers in the JSON have more than {max_number_bytes} digits"
        raise refusal(message, side, code="json_number_too_long")


def _check_duplicates(body: bytes, side: Side) -> None:
    """Exact, and slow: only for documents that the count of colons cannot clear."""

    def pairs(found: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in found:
            if key in seen:
                message = f"the JSON object has the key {key[:64]!r} twice"
                raise refusal(message, side, code="json_duplicate_key")
            seen.add(key)

    json.loads(body, object_pairs_hook=pairs)
