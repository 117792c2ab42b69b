"""Numbers as people read them."""

from __future__ import annotations

import pytest

from callboard.bench.figures import load_text, ratio, share, significant, size
from callboard.bench.plan import ClosedLoop, OpenLoop


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.001234, "0.00123"),
        (0.0999999, "0.100"),
        (0.5, "0.500"),
        (9.999, "10.0"),
        (12.345, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (20_712.3, "20,712"),
    ],
)
def test_three_digits_are_enough(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    "part, text", [(0, "0 %"), (0.5, "50 %"), (0.0123, "1.23 %"), (0.00001, "<0.01 %"), (1, "100 %")]
)
def test_a_share_is_a_percentage_and_nothing_only_if_it_is(part: float, text: str) -> None:
    assert share(part) == text


def test_sizes_have_units() -> None:
    assert [size(amount) for amount in (7, 1500, 2_000_000, 3 * 10**9)] == [
        "7 B",
        "1.50 kB",
        "2.00 MB",
        "3.00 GB",
    ]


def test_an_unknown_ratio_is_a_dash() -> None:
    assert [ratio(None), ratio(1.5)] == ["–", "1.50×"]


def test_loads_are_said_in_words() -> None:
    assert load_text(ClosedLoop(concurrency=8)) == "closed loop, 8 at once"
    assert load_text(OpenLoop(rate=0.5, arrivals="poisson")) == "open loop, 0.5/s poisson"
