"""Counting without building: the counts are those of the value, however the document is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.wire.structure import Structure
from tests.wire.chunking import cuts, pieces_of, single_bytes

awkward = st.sampled_from(['"', "\\", "[1,2]", '\\",{'])
leaves = st.none() | st.booleans() | st.integers() | st.text() | awkward
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=30,
)


def read(*pieces: bytes) -> Structure:
    structure = Structure()
    for piece in pieces:
        structure.feed(piece)
    return structure


def nodes(value: object) -> int:
    match value:
        case dict():
            return 1 + sum(nodes(inner) for inner in value.values())
        case list():
            return 1 + sum(nodes(inner) for inner in value)
        case _:
            return 1


def height(value: object) -> int:
    match value:
        case dict():
            return 1 + max((height(inner) for inner in value.values()), default=0)
        case list():
            return 1 + max((height(inner) for inner in value), default=0)
        case _:
            return 0


def keys(value: object) -> int:
    match value:
        case dict():
            return len(value) + sum(keys(inner) for inner in value.values())
        case list():
            return sum(keys(inner) for inner in value)
        case _:
            return 0


def largest(value: object) -> int:
    """Keys of the object that has most."""
    match value:
        case dict():
            return max(len(value), *(largest(inner) for inner in value.values()), 0)
        case list():
            return max((largest(inner) for inner in value), default=0)
        case _:
            return 0


def numbers(value: object) -> list[int]:
    """The length of each number."""
    match value:
        case dict():
            return [length for inner in value.values() for length in numbers(inner)]
        case list():
            return [length for inner in value for length in numbers(inner)]
        case bool() | None:
            return [1] if value is not None else []  # the letter e of true and false is one of numbers, too
        case int():
            return [len(str(value))]
        case _:
            return []


@given(documents, st.sampled_from([None, 1]), st.booleans(), cuts)
def test_counts_are_those_of_the_value_in_any_cut(
    value: object, indent: int | None, ascii_only: bool, places: list[int]
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    for structure in (read(body), read(*pieces_of(body, places)), read(*single_bytes(body))):
        assert structure.nodes == nodes(value)
        assert not structure.is_deeper_than(height(value))
        assert height(value) == 0 or structure.is_deeper_than(height(value) - 1)
        assert structure.keys == keys(value)
        assert structure.largest_object() == largest(value)
        assert structure.number_bytes == sum(numbers(value))
        assert structure.longest_number == max(numbers(value), default=0)
        assert structure.is_balanced == isinstance(value, dict | list)


@given(documents, cuts)
def test_no_part_of_an_object_is_balanced(value: object, places: list[int]) -> None:
    body = json.dumps({"a": value}).encode()
    structure, so_far = Structure(), b""
    for part in pieces_of(body, places):
        structure.feed(part)
        so_far += part
        assert structure.is_balanced == (so_far == body)


def test_what_was_only_just_opened_may_be_empty() -> None:
    cases = {(b"[",): 1, (b"[[",): 2, (b"[", b"]"): 1, (b"[", b"1"): 2}
    assert {pieces: read(*pieces).nodes for pieces in cases} == cases


@pytest.mark.parametrize("pieces", [(b"]" * 50,), (b"]",) * 50, (b"[]" * 20, b"]" * 30)])
def test_brackets_that_close_nothing_do_not_go_uncounted(pieces: tuple[bytes, ...]) -> None:
    structure = read(*pieces)
    assert structure.nodes == 50
    assert structure.is_deeper_than(64)


@given(documents, cuts)
def test_objects_may_be_asked_for_after_any_piece(value: object, places: list[int]) -> None:
    structure, seen = Structure(), [0]
    for piece in pieces_of(json.dumps(value).encode(), places):
        structure.feed(piece)
        seen.append(structure.largest_object())
    assert seen == sorted(seen)
    assert seen[-1] == largest(value)


def test_brackets_that_close_nothing_leave_the_count_of_keys_alone() -> None:
    assert read(b"]]}}", b'{"a":1,"b":2}').largest_object() == 2
