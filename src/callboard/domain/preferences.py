"""Model preferences: what an MCP server, or a user, would like of a model, and which one that comes to.

The choice is a pure function of the preferences and the models on offer, so that concurrent requests cannot
disturb each other's.

Source: Model Context Protocol 2025-11-25, client/sampling, "Model Preferences": hints are tried in order,
"SHOULD treat this as a substring of a model name"; priorities are between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from callboard.domain.model import ModelSpec
from callboard.errors import InvalidRequest

REASONING = "reasoning"
"""The one request type that has preferences of its own."""


class ModelPreferences(Struct, frozen=True, kw_only=True):
    """Hints in order of preference, and how much each quality matters, from 0 to 1; None says nothing.

    Raises:
        InvalidRequest: A priority is not between 0 and 1.
    """

    hints: tuple[str, ...] = ()
    intelligence: float | None = None
    speed: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        for name in ("intelligence", "speed", "cost"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InvalidRequest(f"{name}Priority must be between 0 and 1, not {value:g}")


def preferences_for(request_type: str) -> ModelPreferences:
    """What a type of request asks for by default: thinking for ``reasoning``, else a quick answer."""
    if request_type == REASONING:
        return ModelPreferences(hints=(REASONING,), intelligence=0.9, speed=0.1)
    return ModelPreferences(speed=0.6, intelligence=0.4)


def choose(models: Sequence[ModelSpec], preferences: ModelPreferences | None) -> ModelSpec | None:
    """The model that suits best; None only where there are none.

    1. Without preferences, the first.
    2. The first hint that is part of a model's name, upper and lower case alike, decides; empty hints say
       nothing. Among several such models the first.
    3. More intelligence than speed: the first reasoning model. More speed than intelligence: the first other.
    4. Only cost matters: the model with the highest cost rank (1 is the cheapest); the first among equals.
    5. Otherwise, and on a tie, the first.
    """
    if not models:
        return None
    if preferences is None:
        return models[0]
    return _hinted(models, preferences.hints) or _by_priority(models, preferences) or models[0]


def _hinted(models: Sequence[ModelSpec], hints: Sequence[str]) -> ModelSpec | None:
    for hint in filter(None, (hint.strip().lower() for hint in hints)):
        for model in models:
            if hint in model.name.lower() or hint in model.upstream_name.lower():
                return model
    return None


def _by_priority(models: Sequence[ModelSpec], preferences: ModelPreferences) -> ModelSpec | None:
    intelligence, speed = preferences.intelligence or 0.0, preferences.speed or 0.0
    if intelligence != speed:
        wants_reasoning = intelligence > speed
        return next((model for model in models if model.traits.reasoning is wants_reasoning), None)
    if preferences.cost and not intelligence:
        return max(models, key=lambda model: model.cost or 0.0)
    return None
