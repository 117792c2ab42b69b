"""Which model preferences come to which model."""

from __future__ import annotations

import pytest

from callboard.domain.model import ModelSpec, ModelTraits
from callboard.domain.preferences import ModelPreferences, choose, preferences_for
from callboard.errors import InvalidRequest

SMALL = ModelSpec(name="gpt-4o-mini", provider="p", upstream_name="gpt-4o-mini-2024", cost=0.9)
LARGE = ModelSpec(name="gpt-4o", provider="p", upstream_name="gpt-4o-2024", cost=0.4)
THINKER = ModelSpec(
    name="o3-mini", provider="p", upstream_name="o3-mini", cost=0.2, traits=ModelTraits(reasoning=True)
)
MODELS = (LARGE, SMALL, THINKER)


@pytest.mark.parametrize(
    "preferences, expected",
    [
        (None, LARGE),
        (ModelPreferences(), LARGE),
        (ModelPreferences(hints=("O3",)), THINKER),
        (ModelPreferences(hints=("claude", "MINI")), SMALL),
        (ModelPreferences(hints=("", "  ", "o3")), THINKER),
        (ModelPreferences(hints=("4o-2024",)), LARGE),
        (ModelPreferences(hints=("claude",)), LARGE),
        (ModelPreferences(hints=("gpt-4o-mini",), intelligence=1.0), SMALL),
        (ModelPreferences(intelligence=0.9, speed=0.1), THINKER),
        (ModelPreferences(intelligence=1.0), THINKER),
        (ModelPreferences(intelligence=0.1, speed=0.9), LARGE),
        (ModelPreferences(speed=1.0), LARGE),
        (ModelPreferences(intelligence=0.5, speed=0.5), LARGE),
        (ModelPreferences(intelligence=0.5, speed=0.5, cost=1.0), LARGE),
        (ModelPreferences(cost=0.8), SMALL),
    ],
)
def test_the_choice_follows_the_documented_order(
    preferences: ModelPreferences | None, expected: ModelSpec
) -> None:
    assert choose(MODELS, preferences) is expected


def test_nothing_to_choose_from_is_nothing_chosen() -> None:
    assert choose((), ModelPreferences(hints=("gpt",))) is None


def test_where_no_model_has_the_quality_the_first_is_taken() -> None:
    assert choose((SMALL, LARGE), ModelPreferences(intelligence=1.0)) is SMALL


def test_request_types_have_the_documented_preferences() -> None:
    assert preferences_for("reasoning") == ModelPreferences(hints=("reasoning",), intelligence=0.9, speed=0.1)
    assert preferences_for("chat") == ModelPreferences(speed=0.6, intelligence=0.4)


@pytest.mark.parametrize("value", [-0.1, 1.1, 8, float("nan")])
def test_priorities_outside_the_range_are_refused(value: float) -> None:
    with pytest.raises(InvalidRequest, match="intelligencePriority must be between 0 and 1"):
        ModelPreferences(intelligence=value)
    with pytest.raises(InvalidRequest, match="speedPriority must be between 0 and 1"):
        ModelPreferences(speed=value)
    with pytest.raises(InvalidRequest, match="costPriority must be between 0 and 1"):
        ModelPreferences(cost=value)
