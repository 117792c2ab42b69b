"""The JSON guard: what it refuses, and that it refuses nothing else."""

import json
from collections.abc import Generator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from callboard.domain.steps import at_once
from callboard.errors import LocalWireError, RemoteWireError, TooLarge
from callboard.wire.json import STEP_BYTES, JsonLimits, check, checking, decode


def code_of(body: bytes, limits: JsonLimits | None = None) -> str | None:
    """The code of the refusal; None where there is none."""
    try:
        check(body, limits=limits or JsonLimits())
    except LocalWireError as error:
        return error.code
    return None


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"1" + b"]}" * (depth // 2)


REFUSED = [
    pytest.param(nested(66), "json_too_deep", id="66 levels"),
    pytest.param(b"[" * 65 + b"]" * 65, "json_too_deep", id="65 arrays"),
    pytest.param(b"[" * 100_000, "json_too_deep", id="deep and open"),
    pytest.param(b"[" + b"1," * 99_999 + b"1]", "json_too_complex", id="many values"),
    pytest.param(b"[" + b"[], " * 99_999 + b"{}]", "json_too_complex", id="many containers"),
    pytest.param(b"[" + b'"",' * 250_000 + b'""]', "json_too_complex", id="many strings"),
    pytest.param(b'{"a":' + b"1" * 1_001 + b"}", "json_number_too_long", id="long integer"),
    pytest.param(b'{"a":0.' + b"1" * 1_000 + b"}", "json_number_too_long", id="long fraction"),
    pytest.param(b" " * 5_000 + b"[" + b"1" * 1_001 + b"]", "json_number_too_long", id="long number far in"),
    pytest.param(b'{"a":1,"a":1}', "json_duplicate_key", id="duplicate key"),
    pytest.param(b'{"a":1, "\\u0061": 1}', "json_duplicate_key", id="duplicate key by escape"),
    pytest.param(
        b'[{"b":{"a:\\u003a":1,"c":2, "a:\\u003A":1}}]', "json_duplicate_key", id="with escaped colons"
    ),
    pytest.param(b'{"a":"\\u003a","b":1,"b":2}', "json_duplicate_key", id="escaped colon makes up for it"),
    pytest.param(b'{"a":NaN}', "invalid_json", id="NaN"),
    pytest.param(b'{"a":-Infinity}', "invalid_json", id="Infinity"),
    pytest.param(b'{"a":1e999}', "invalid_json", id="a number too large"),
    pytest.param(b'{"a":"\\ud800"}', "invalid_json", id="lone high surrogate"),
    pytest.param(b'{"a":"\\ud800\\"\\udc00"}', "invalid_json", id="surrogates apart"),
    pytest.param(b'{"a":"\\udc00\\ud800"}', "invalid_json", id="surrogates in the wrong order"),
    pytest.param(b'{"\\udfff":1}', "invalid_json", id="surrogate in a key"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', "invalid_json", id="surrogate as UTF-8"),
    pytest.param(b'{"a":"\xff"}', "invalid_json", id="invalid UTF-8"),
    pytest.param(b'{"\xc3":1}', "invalid_json", id="invalid UTF-8 in a key"),
    pytest.param(b"", "invalid_json", id="nothing"),
    pytest.param(b"{} {}", "invalid_json", id="two values"),
    pytest.param(b"\xef\xbb\xbf{}", "invalid_json", id="BOM"),
    pytest.param(b"{'a':1}", "invalid_json", id="single quotes"),
    pytest.param(b'{"a":"\n"}', "invalid_json", id="a raw line end"),
    pytest.param(b'["' + b"\\" * 9 + b'"]', "invalid_json", id="escaped end of string"),
]


@pytest.mark.parametrize("body, code", REFUSED)
def test_hostile_json_is_refused_by_name(body: bytes, code: str) -> None:
    assert code_of(body) == code
    with pytest.raises(RemoteWireError):
        check(body, side="remote")


ACCEPTED = [
    pytest.param(nested(64), id="64 levels"),
    pytest.param(b"[" + b"[]," * 500 + b"[" * 63 + b"]" * 63 + b"]", id="64 levels after wide ones"),
    pytest.param(b'{"a":"' + b"[{" * 5_000 + b'"}', id="brackets within a string"),
    pytest.param(b'{"a":"\\\\","b":"' + b'\\\\\\"[' * 100 + b'"}', id="brackets after escapes"),
    pytest.param(b"[" + b"1," * 99_998 + b"1]", id="100,000 values"),
    pytest.param(b"[" + b"[], " * 99_998 + b"{}]", id="100,000 containers"),
    pytest.param(b'{"a":"' + b"," * 300_000 + b'"}', id="commas within a string"),
    pytest.param(b'{"a":' + b"1" * 1_000 + b"}", id="1,000 digits"),
    pytest.param(b'{"a":"' + b"1" * 5_000 + b'"}', id="digits within a string"),
    pytest.param(b"[" + b"123456789," * 400 + b"1]", id="many numbers in a row"),
    pytest.param(b'[{"a":1},{"a":{"a":1}}]', id="one key in several objects"),
    pytest.param(b'{"a":1, "A":1, "a ":1}', id="similar keys"),
    pytest.param(b'{"a\\u003a" : "::\\u003A"}', id="colons written as escapes"),
    pytest.param(b'{"a":"\\ud83d\\ude00 \\u0000 \\\\ud800"}', id="a surrogate pair"),
    pytest.param('{"é":"\u2028\u0085😀"}'.encode(), id="Unicode"),
    pytest.param(b' {"a" : 1.50e3 , "b":-0, "c":[ ]}\n', id="free form"),
    pytest.param(b"3", id="a scalar"),
]


@pytest.mark.parametrize("body", ACCEPTED)
def test_json_within_the_limits_passes(body: bytes) -> None:
    assert code_of(body) is None


def test_a_body_beyond_its_size_is_too_large() -> None:
    with pytest.raises(TooLarge):
        check(b"[1,2,3]", limits=JsonLimits(max_bytes=6))
    with pytest.raises(RemoteWireError):
        check(b"[1,2,3]", side="remote", limits=JsonLimits(max_bytes=6))


class Pairs(list[tuple[str, object]]):
    """An object as its pairs, in which a key may come twice."""


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(st.text(max_size=2), inner), max_size=4).map(Pairs)
    ),
)


def written(value: object, *, ascii_only: bool, spaces: bool) -> str:
    """JSON, written by hand so that keys can be repeated."""
    comma, colon = (", ", " : ") if spaces else (",", ":")
    if isinstance(value, Pairs):
        keys = [json.dumps(key, ensure_ascii=ascii_only) for key, _ in value]
        inner = [written(one, ascii_only=ascii_only, spaces=spaces) for _, one in value]
        pairs = (f"{key}{colon}{text}" for key, text in zip(keys, inner, strict=True))
        return "{" + comma.join(pairs) + "}"
    if isinstance(value, list):
        return "[" + comma.join(written(inner, ascii_only=ascii_only, spaces=spaces) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def has_duplicates(value: object) -> bool:
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        return len(set(keys)) != len(keys) or any(has_duplicates(inner) for _, inner in value)
    return isinstance(value, list) and any(has_duplicates(inner) for inner in value)


@given(documents, st.booleans(), st.booleans())
def test_duplicate_keys_and_nothing_else_are_found(value: object, ascii_only: bool, spaces: bool) -> None:
    body = written(value, ascii_only=ascii_only, spaces=spaces).encode()
    assert code_of(body) == ("json_duplicate_key" if has_duplicates(value) else None)


def height(value: object) -> int:
    match value:
        case dict():
            return 1 + max((height(inner) for inner in value.values()), default=0)
        case list():
            return 1 + max((height(inner) for inner in value), default=0)
        case _:
            return 0


plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=40,
)


@given(plain, st.integers(0, 12))
def test_the_depth_is_exact(value: object, max_depth: int) -> None:
    limits = JsonLimits(max_depth=max_depth)
    expected = "json_too_deep" if height(value) > max_depth else None
    assert code_of(msgspec.json.encode(value), limits) == expected


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u003a0123eE.-tfn ', max_size=200).map(str.encode))
def test_no_bytes_crash_the_guard(body: bytes) -> None:
    code = code_of(body, JsonLimits(max_depth=3, max_nodes=10, max_digits=4))
    if code is None:
        json.loads(body)


class _Inner(Struct):
    count: int


class _Outer(Struct):
    items: list[_Inner]


_DECODER = msgspec.json.Decoder(_Outer)


@pytest.mark.parametrize(
    "body, param",
    [
        (b'{"items":[{"count":1},{"count":"x"}]}', "items[1].count"),
        (b'{"items":[{}]}', "items[0].count"),
        (b"[]", None),
    ],
)
def test_a_typed_decoder_names_the_field_that_is_wrong(body: bytes, param: str | None) -> None:
    with pytest.raises(LocalWireError) as refused:
        decode(body, _DECODER.decode, side="local")
    assert refused.value.param == param


@pytest.mark.parametrize(
    "body, param",
    [(b'{"items":[{}]}', "input[2].items[0].count"), (b"{}", "input[2].items"), (b"[]", "input[2]")],
)
def test_of_a_part_the_whole_place_is_named(body: bytes, param: str) -> None:
    with pytest.raises(LocalWireError) as refused:
        decode(body, _DECODER.decode, side="local", at="input[2]")
    assert refused.value.param == param


def test_an_upstreams_mistake_is_the_upstreams() -> None:
    with pytest.raises(RemoteWireError, match=r"items\[0\]"):
        decode(b'{"items":[{}]}', _DECODER.decode, side="remote")
    with pytest.raises(RemoteWireError):
        decode(b"<html>", _DECODER.decode, side="remote")


def test_a_large_body_is_checked_in_steps_and_a_small_one_in_one() -> None:
    large = b'{"a":"' + b"\\\\" * (10 * STEP_BYTES) + b'"}'
    assert len(list(checking(large))) >= len(large) // STEP_BYTES
    assert list(checking(b'{"a" : [[[[[[[[[["1"]]]]]]]]]]}')) == []


@pytest.mark.parametrize(
    "inner, code",
    [
        (b'"' + b'\\"' * 200_000 + b'",[' + b"[" * 62 + b"]" * 62 + b"]", None),
        (b'"' + b'\\"' * 200_000 + b'",[' + b"[" * 63 + b"]" * 63 + b"]", "json_too_deep"),
        (b'"' + b"9" * 3_000_000 + b'"', None),
        (b"1" * 1000 + b',"' + b"x" * STEP_BYTES * 2 + b'"', None),
        (b'"' + b"x" * (STEP_BYTES * 2 - 500) + b'",' + b"1" * 1001, "json_number_too_long"),
        (b",".join([b"1" * 999] * 2_200), "json_number_too_long"),
        (b"]" * 300_000, "json_too_complex"),
        (b'{"a":"' + b"x:" * 200_000 + b'","b":{"a":[1, 2]}}', None),
        (b'{"a":"' + b"x:" * 200_000 + b'","\\u0061":[1, 2]}', "json_duplicate_key"),
        (b'{"b":[{"a":"' + b"x" * 400_000 + b'","c":1,"c":2}]}', "json_duplicate_key"),
        (b",".join([b'{"a":"' + b"x" * 40 + b'"}'] * 9_000) + b',{"a":1,"a":2}', "json_duplicate_key"),
    ],
)
def test_a_large_body_is_held_to_the_same_limits(inner: bytes, code: str | None) -> None:
    assert code_of(b"[" + inner + b"]") == code


def test_steps_give_their_result_when_all_are_done() -> None:
    done = []

    def steps() -> Generator[None, None, str]:
        for number in range(3):
            done.append(number)
            yield
        return "result"

    assert at_once(steps()) == "result"
    assert done == [0, 1, 2]


def fields(count: int, value: bytes = b"1", key: str = "") -> bytes:
    return b"{" + b",".join(b'"%b%x":%b' % (key.encode(), number, value) for number in range(count)) + b"}"


LONG_KEY = "x" * 50
"""With it an object of 5,001 keys makes a large document, without it a small one."""


@pytest.mark.parametrize("key", ["", LONG_KEY])
@pytest.mark.parametrize("value", [b"1", b"[]", b"[1]", b'{"a":[{}]}', b'":"'])
def test_no_object_has_more_than_5000_keys(key: str, value: bytes) -> None:
    assert code_of(b"[[1]," + fields(5_000, value, key) + b"]") is None
    assert code_of(b"[[1]," + fields(5_001, value, key) + b"]") == "json_too_many_keys"


def test_all_objects_together_may_have_more_keys_than_one_alone() -> None:
    assert code_of(b"[" + b",".join([fields(4_900)] * 10) + b"]") is None


def test_too_many_keys_are_refused_before_the_rest_is_looked_at() -> None:
    body = fields(99_000)
    with pytest.raises(LocalWireError):
        assert len(list(checking(body))) == 0
    assert len(body) > 4 * STEP_BYTES


@pytest.mark.parametrize("many", [1, 9_000])
def test_escapes_and_spaces_hide_no_duplicate_key(many: int) -> None:
    sound = b",".join([b'{"a\\u003a" : "\\u003a", "b" : ":"}'] * many)
    assert code_of(b"[" + sound + b"]") is None
    assert code_of(b"[" + sound + b',{"a:":1, "a\\u003a" : 2}]') == "json_duplicate_key"
