"""Results that become words. How functions give them is in test_function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest

from callboard.domain.message import text_of
from callboard.tools.outcome import NO_OUTPUT, outcome_of


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    color: Color


@pytest.mark.parametrize(
    "result, text",
    [
        ("words", "words"),
        (None, NO_OUTPUT),
        ("", NO_OUTPUT),
        (0, "0"),
        ([], "[]"),
        (Point(1, Color.RED), '{"x":1,"color":"red"}'),
    ],
)
def test_a_result_is_text(result: object, text: str) -> None:
    assert text_of(outcome_of(result).content) == text


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(TypeError):
        outcome_of(object())
