"""Titles of conversations."""

from __future__ import annotations

import re

import pytest

from callboard.domain.title import INSTRUCTIONS, clean_title, fallback_title, title_prompt


@pytest.mark.parametrize(
    "answer, title",
    [
        ("Python Binary Search", "Python Binary Search"),
        (' "React vs Vue"\n', "React vs Vue"),
        ("'CSS\n\tFlexbox\r  Layout'", "CSS Flexbox Layout"),
        ("“Höhe”", "Höhe"),
        ("x" * 30, "x" * 30),
        ("x" * 31, "x" * 27 + "..."),
        ("", None),
        ("  ", None),
        ('"Hi"', None),
        ("Chat", None),
        ("ab", None),
    ],
)
def test_a_title_is_one_short_line_without_quotes(answer: str, title: str | None) -> None:
    assert clean_title(answer) == title


def test_without_one_the_hour_is_the_title() -> None:
    assert re.fullmatch(r"Chat - [01]\d/[0-3]\d [0-2]\d:[0-5]\d", fallback_title(1_757_400_000))


def test_no_more_of_a_message_is_sent_than_a_title_needs() -> None:
    assert title_prompt("x" * 9_000).count("x") == 500
    assert "30 characters" in INSTRUCTIONS
