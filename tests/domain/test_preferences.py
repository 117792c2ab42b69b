"""Which model preferences come to which model."""

from __future__ import annotations

import pytest
from msgspec import Raw

from callboard.domain.block import Base64Source, ImageBlock, TextBlock, ToolResultBlock
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, user_text
from callboard.domain.model import ModelSpec, ModelTraits
from callboard.domain.preferences import (
    ModelPreferences,
    able,
    choose,
    preferences_for,
    stated,
)
from callboard.domain.tools import ToolDefinition
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
        (ModelPreferences(intelligence=0.5, speed=0.5, cost=1.0), SMALL),
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


def ranked(name: str, *, intelligence: float | None = None, speed: float | None = None) -> ModelSpec:
    return ModelSpec(name=name, provider="p", upstream_name=name, intelligence=intelligence, speed=speed)


WISE, SWIFT, ROUND = (
    ranked("a", intelligence=0.9),
    ranked("b", speed=0.9),
    ranked("c", intelligence=0.6, speed=0.6),
)


@pytest.mark.parametrize(
    "preferences, expected",
    [
        (ModelPreferences(intelligence=1.0), WISE),
        (ModelPreferences(intelligence=1.0, speed=0.9), ROUND),
        (ModelPreferences(speed=1.0), SWIFT),
        (ModelPreferences(intelligence=0.5, speed=0.5), ROUND),
        (ModelPreferences(cost=1.0), WISE),  # none is ranked for it
    ],
)
def test_among_models_of_a_kind_the_ranks_decide(preferences: ModelPreferences, expected: ModelSpec) -> None:
    assert choose((WISE, SWIFT, ROUND), preferences) is expected


def test_more_intelligence_than_speed_is_a_reasoning_model_whatever_the_ranks_are() -> None:
    assert choose((WISE, THINKER), ModelPreferences(intelligence=0.6, speed=0.4)) is THINKER


IMAGE = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
BLIND = ModelSpec(name="blind", provider="p", upstream_name="b", traits=ModelTraits(images=False))
HANDLESS = ModelSpec(name="handless", provider="p", upstream_name="h", traits=ModelTraits(tools=False))


@pytest.mark.parametrize(
    "content, tools, expected",
    [
        ((TextBlock(text="hi"),), (), (BLIND, HANDLESS, LARGE)),
        ((IMAGE,), (), (HANDLESS, LARGE)),
        ((ToolResultBlock(tool_use_id="t", content=(IMAGE,)),), (), (HANDLESS, LARGE)),
        ((TextBlock(text="hi"),), (ToolDefinition(name="t"),), (BLIND, LARGE)),
    ],
)
def test_models_that_cannot_take_the_request_are_left_out(
    content: tuple[TextBlock | ImageBlock | ToolResultBlock, ...],
    tools: tuple[ToolDefinition, ...],
    expected: tuple[ModelSpec, ...],
) -> None:
    request = GenerationRequest(model="", messages=(Message(role="user", content=content),), tools=tools)
    assert able((BLIND, HANDLESS, LARGE), request) == expected
    assert able((), request) == ()


def test_where_no_model_can_take_the_request_all_are_left() -> None:
    request = GenerationRequest(model="", messages=(Message(role="user", content=(IMAGE,)),))
    assert able((BLIND,), request) == (BLIND,)


def asking(preferences: bytes) -> GenerationRequest:
    extra = {"model_preferences": Raw(preferences), "other": Raw(b"1")}
    return GenerationRequest(model="auto", messages=(user_text("hi"),), extra=extra)


def test_a_request_states_its_preferences_in_mcps_form_and_they_go_no_further() -> None:
    wire = b'{"hints":[{"name":"o3"},{"name":null},{}],"intelligencePriority":1,"costPriority":0.5}'
    preferences, request = stated(asking(wire))
    assert preferences == ModelPreferences(hints=("o3",), intelligence=1.0, cost=0.5)
    assert request.extra == {"other": Raw(b"1")}
    assert stated(request) == (None, request)


@pytest.mark.parametrize(
    "wire", [b"1", b'{"hints":["o3"]}', b'{"speedPriority":"fast"}', b'{"speedPriority":2}']
)
def test_preferences_that_cannot_be_read_are_refused(wire: bytes) -> None:
    with pytest.raises(InvalidRequest):
        stated(asking(wire))


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
