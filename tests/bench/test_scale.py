"""Axes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.bench.scale import Scale, fitting

POSITIVE = st.floats(1e-6, 1e9)


@given(st.lists(POSITIVE, min_size=1))
def test_every_value_has_a_place_and_a_few_round_ticks_beside_it(values: list[float]) -> None:
    scale = fitting(values)
    for value in values:
        assert -1e-9 <= scale.at(value) <= 1 + 1e-9
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 17
    assert list(ticks) == sorted(set(ticks))
    if not scale.log:
        assert scale.at(ticks[0]) == 0
        assert scale.at(ticks[-1]) >= 0.75


def test_similar_values_stand_on_zero() -> None:
    assert fitting([40, 97]) == Scale(low=0, high=100)
    assert fitting([40, 97]).ticks() == (0, 20, 40, 60, 80, 100)


def test_values_far_apart_need_a_log_scale() -> None:
    scale = fitting([0.3, 80])
    assert scale == Scale(low=0.2, high=100, log=True)
    assert scale.at(0.2) == 0
    assert scale.ticks() == (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    assert scale.at(20) - scale.at(10) == pytest.approx(scale.at(2) - scale.at(1))


def test_many_decades_get_a_tick_each() -> None:
    assert Scale(low=0.01, high=1000, log=True).ticks() == (0.01, 0.1, 1, 10, 100, 1000)


def test_nothing_to_show_is_a_scale_all_the_same() -> None:
    assert fitting([]).ticks()[0] == 0
    assert fitting([0.0]).at(1.0) == 1
