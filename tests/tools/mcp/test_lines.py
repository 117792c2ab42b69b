"""Lines out of pieces, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.tools.mcp.lines import Lines, LineTooLong


@given(st.lists(st.binary(max_size=8).map(lambda each: each.replace(b"\n", b"")), max_size=8), st.data())
def test_any_chunking_gives_the_same_lines(whole: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(each + b"\n" for each in whole)
    lines = Lines(8)
    found: list[bytes] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:cut])
        stream = stream[cut:]
    assert found == whole


def test_a_line_over_the_limit_is_an_error_before_it_ends() -> None:
    lines = Lines(10)
    assert list(lines.feed(b"0123456789\n01234")) == [b"0123456789"]
    with pytest.raises(LineTooLong):
        list(lines.feed(b"567890"))


def test_where_lines_are_cut_the_next_one_is_whole() -> None:
    lines = Lines(4, cut=True)
    assert list(lines.feed(b"0123456")) == []
    assert list(lines.feed(b"789" * 1000)) == []
    assert list(lines.feed(b"\nnext\n")) == [b"0123", b"next"]
