"""Model text on a terminal."""

from __future__ import annotations

import io

import pytest

from callboard.cli.terminal import Printer, printable


@pytest.mark.parametrize(
    "hostile, shown",
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\bc\x00\x7f", "a\\x0db\\x08c\\x00\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202etxt.exe\u202c", "\\u202etxt.exe\\u202c"),
        ("\u2066a\u2069\u200e\u061c", "\\u2066a\\u2069\\u200e\\u061c"),
    ],
    ids=["escape", "title", "C0", "C1", "override", "isolate"],
)
def test_what_a_terminal_would_obey_is_made_visible(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown


def test_ordinary_text_is_left_alone() -> None:
    text = "line\n\tcol \u00e9 \u4e2d \U0001f600 \u05d0\u05d1"
    assert printable(text) == text


def test_a_piece_is_seen_at_once() -> None:
    raw = io.BytesIO()
    printer = Printer(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
    printer.write("a\x1b")
    assert raw.getvalue() == b"a\\x1b"


def test_the_last_line_is_ended_once() -> None:
    out = io.StringIO()
    printer = Printer(out)
    for piece in ("one", "", " two"):
        printer.write(piece)
    printer.end()
    printer.end()
    assert out.getvalue() == "one two\n"


def test_a_line_that_is_ended_already_is_not_ended_again() -> None:
    out = io.StringIO()
    printer = Printer(out)
    printer.end()
    printer.write("one\n")
    printer.end()
    assert out.getvalue() == "one\n"
