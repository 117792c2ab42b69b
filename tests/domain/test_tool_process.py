"""Values of environment variables, as text."""

from __future__ import annotations

from decimal import Decimal

import pytest

from callboard.domain.tool_process import VariableType, variable_text


@pytest.mark.parametrize(
    "kind, value, text",
    [
        ("string", "", ""),
        ("string", "a b", "a b"),
        ("integer", 3, "3"),
        ("integer", "-3", "-3"),
        ("number", 1, "1"),
        ("number", 0.5, "0.5"),
        ("number", Decimal("2.50"), "2.50"),
        ("number", "1e3", "1e3"),
        ("boolean", True, "true"),
        ("boolean", False, "false"),
        ("boolean", "TRUE", "true"),
        ("boolean", "0", "false"),
    ],
)
def test_a_value_becomes_the_text_of_its_type(kind: VariableType, value: object, text: str) -> None:
    assert variable_text(kind, value) == text


@pytest.mark.parametrize(
    "kind, value",
    [
        ("string", 3),
        ("string", True),
        ("string", None),
        ("string", ["a"]),
        ("string", "a\x00b"),
        ("integer", 1.5),
        ("integer", True),
        ("integer", "three"),
        ("integer", ""),
        ("number", "much"),
        ("number", False),
        ("boolean", 1),
        ("boolean", "yes"),
        ("boolean", None),
    ],
)
def test_another_type_is_refused_without_repeating_the_value(kind: VariableType, value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected (a string|a whole number|a number|true or false)$"):
        variable_text(kind, value)
