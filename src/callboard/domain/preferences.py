"""Model preferences: what an MCP server, or a user, would like of a model, and which one that comes to.

The choice is a pure function of the preferences and the models on offer, so that concurrent requests cannot
disturb each other's. Sampling, the model name `AUTO` and directives (`callboard.domain.directives`) all come
here; docs/models.md tells users.

Source: Model Context Protocol 2025-11-25, client/sampling, "Model Preferences": hints are tried in order,
"SHOULD treat this as a substring of a model name"; priorities are between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.block import Block, ImageBlock, ToolResultBlock
from callboard.domain.generation import GenerationRequest
from callboard.domain.model import ModelSpec
from callboard.errors import InvalidRequest

REASONING = "reasoning"
"""The one request type that has preferences of its own."""

AUTO = "auto"
"""Whoever asks for a model of this name leaves the choice to us, unless the operator has named one so."""

PREFERENCES = "model_preferences"
"""Field of a request for `AUTO`, in every dialect, that states preferences in MCP's form."""


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


class ModelHint(Struct, frozen=True, kw_only=True):
    """A part of a model's name, as MCP has it."""

    name: str | None = None


class WirePreferences(Struct, frozen=True, kw_only=True, rename="camel"):
    """Preferences as MCP has them. Source: schema 2025-11-25, ``ModelPreferences``."""

    hints: tuple[ModelHint, ...] | None = None
    intelligence_priority: float | None = None
    speed_priority: float | None = None
    cost_priority: float | None = None

    def preferences(self) -> ModelPreferences:
        """The same as a value of ours.

        Raises:
            InvalidRequest: A priority is not between 0 and 1.
        """
        return ModelPreferences(
            hints=tuple(hint.name for hint in self.hints or () if hint.name),
            intelligence=self.intelligence_priority,
            speed=self.speed_priority,
            cost=self.cost_priority,
        )


_WIRE = msgspec.json.Decoder(WirePreferences)


def preferences_for(request_type: str) -> ModelPreferences:
    """What a type of request asks for by default: thinking for ``reasoning``, else a quick answer."""
    if request_type == REASONING:
        return ModelPreferences(hints=(REASONING,), intelligence=0.9, speed=0.1)
    return ModelPreferences(speed=0.6, intelligence=0.4)


def stated(request: GenerationRequest) -> tuple[ModelPreferences | None, GenerationRequest]:
    """The preferences that a request has in its field `PREFERENCES`, and the request without that field.

    Raises:
        InvalidRequest: The field holds something else.
    """
    raw = (request.extra or {}).get(PREFERENCES)
    if raw is None:
        return None, request
    try:
        wire = _WIRE.decode(raw)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"{PREFERENCES}: {error}", param=PREFERENCES, code="invalid_value") from error
    extra = {name: value for name, value in (request.extra or {}).items() if name != PREFERENCES}
    return wire.preferences(), replace(request, extra=extra or None)


def able(models: Sequence[ModelSpec], request: GenerationRequest) -> tuple[ModelSpec, ...]:
    """Those of ``models`` that take what ``request`` holds, images and tools; all, where none does."""
    images = any(_shows(block) for message in request.messages for block in message.content)
    found = tuple(
        model
        for model in models
        if (model.traits.images or not images) and (model.traits.tools or not request.tools)
    )
    return found or tuple(models)


def choose(models: Sequence[ModelSpec], preferences: ModelPreferences | None) -> ModelSpec | None:
    """The model that suits best; None only where there are none.

    1. Without preferences, the first.
    2. The first hint that is part of a model's name, upper and lower case alike, decides; empty hints say
       nothing. Among several such models the first.
    3. More intelligence than speed: only reasoning models. More speed than intelligence: only others. Where
       there are none of the kind, and where both matter alike, all of them.
    4. Among these the highest sum of each priority times the model's rank for it: intelligence, speed, and
       cost, of which 1 is the cheapest. What is not ranked counts 0.
    5. Among equals the first.
    """
    if not models:
        return None
    if preferences is None:
        return models[0]
    return _hinted(models, preferences.hints) or _by_priority(models, preferences)


def _hinted(models: Sequence[ModelSpec], hints: Sequence[str]) -> ModelSpec | None:
    for hint in filter(None, (hint.strip().lower() for hint in hints)):
        for model in models:
            if hint in model.name.lower() or hint in model.upstream_name.lower():
                return model
    return None


def _by_priority(models: Sequence[ModelSpec], preferences: ModelPreferences) -> ModelSpec:
    intelligence, speed = preferences.intelligence or 0.0, preferences.speed or 0.0
    cost = preferences.cost or 0.0
    if intelligence != speed:
        wants_reasoning = intelligence > speed
        models = [model for model in models if model.traits.reasoning is wants_reasoning] or models

    def score(model: ModelSpec) -> float:
        ranks = (model.intelligence or 0.0, model.speed or 0.0, model.cost or 0.0)
        return intelligence * ranks[0] + speed * ranks[1] + cost * ranks[2]

    return max(models, key=score)  # of equals the first


def _shows(block: Block) -> bool:
    if isinstance(block, ToolResultBlock):
        return any(isinstance(each, ImageBlock) for each in block.content)
    return isinstance(block, ImageBlock)
