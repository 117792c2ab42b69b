"""Heads of answers: nobody's text ends a line, and the date is made once a second."""

from __future__ import annotations

import pytest

from callboard.serving.http1 import head


@pytest.mark.parametrize("value", [b"a\r\nX: y", b"a\n", b"\r"])
def test_a_value_that_would_end_its_line_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="x-thing"):
        head.field_lines([(b"x-thing", value)])


def test_fields_keep_their_order() -> None:
    lines, names = head.field_lines([(b"b", b"1"), (b"a", b"2")])
    assert lines == b"b: 1\r\na: 2\r\n"
    assert names == {b"a", b"b"}


def test_the_date_changes_with_the_second() -> None:
    times = iter((784111777.1, 784111777.9, 784111778.0))
    dates = head.Dates(lambda: next(times))
    first = dates.field()
    assert first == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"  # RFC 9110, 5.6.7
    assert dates.field() is first
    assert dates.field() == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


@pytest.mark.parametrize(
    "method, status, has",
    [("GET", 200, True), ("HEAD", 200, False), ("GET", 204, False), ("GET", 304, False)],
)
def test_some_answers_have_no_body(method: str, status: int, has: bool) -> None:
    assert head.has_body(method, status) is has


def test_a_status_that_nobody_knows_has_no_phrase() -> None:
    assert head.status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert head.status_line(599) == b"HTTP/1.1 599 \r\n"


def test_a_chunk_has_its_size_in_hex() -> None:
    assert head.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
