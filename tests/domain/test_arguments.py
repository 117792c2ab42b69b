"""Tool arguments: what a model wrote is never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.arguments import INVALID_ARGUMENTS, arguments_of, is_object, tool_use


def test_an_object_is_kept_as_the_model_wrote_it() -> None:
    call = tool_use("c1", "add", '{ "a": 1,  "b": 2 }')
    assert call.input == Raw(b'{ "a": 1,  "b": 2 }')
    assert call.extra is None


@pytest.mark.parametrize("written", ["", "  \n"])
def test_no_arguments_are_an_empty_object(written: str) -> None:
    assert tool_use("c1", "now", written).input == Raw(b"{}")


@pytest.mark.parametrize("written", ['{"a": 1', "[1]", "1", "null", "{'a': 1}", '{"a": NaN}', '{"a":' * 2000])
def test_anything_else_is_marked_and_its_input_is_empty(written: str) -> None:
    call = tool_use("c1", "add", written)
    assert call.input == Raw(b"{}")
    assert call.extra is not None
    assert INVALID_ARGUMENTS in call.extra


@given(st.text(min_size=1).filter(lambda text: not text.isspace()))
def test_what_was_written_comes_back(written: str) -> None:
    assert arguments_of(tool_use("c1", "f", written)) == written


@pytest.mark.parametrize(
    "text, expected",
    [(b"{}", True), (b' {"a":[1]} ', True), (b'{"a":', False), (b"{} x", False), (b"[]", False)],
)
def test_only_a_whole_object_is_one(text: bytes, expected: bool) -> None:
    assert is_object(text) is expected
