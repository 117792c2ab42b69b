"""Figures and tables as text."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "–"
"""What was not measured."""


def rounded(value: float) -> str:
    """Three digits that mean something: 18,642 is 18,600."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{int(round(value, -digits)):,}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def micro(value: float | None) -> str:
    """Microseconds."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def times(value: float | None) -> str:
    """A ratio."""
    if value is None:
        return NOTHING
    return f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
