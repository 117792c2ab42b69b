"""Models of pydantic as parameters and results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import jsonschema
import msgspec
import pydantic
import pytest
from msgspec import Raw

import callboard
from callboard.domain.message import text_of
from callboard.errors import ConfigurationError, InvalidArguments
from callboard.tools import foreign

pytestmark = pytest.mark.anyio

SOURCE = Path(__file__).parents[2] / "src"


class Place(pydantic.BaseModel):
    city: str
    country: str = "NO"


class Trip(pydantic.BaseModel):
    places: list[Place]
    days: int = pydantic.Field(ge=1)


class Own(msgspec.Struct):
    place: Place


@callboard.tool
async def plan(trip: Trip, back_to: Place | None = None) -> Trip:
    """Plan it."""
    assert isinstance(trip.places[0], Place)
    return trip.model_copy(update={"places": [*trip.places, *([back_to] if back_to else [])]})


def test_the_schema_is_whole_and_its_references_lead_somewhere() -> None:
    schema = msgspec.json.decode(plan.definition.input_schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {"trip": {"places": [{"city": "Oslo"}], "days": 2}, "back_to": None}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"trip": {"places": [{}], "days": 2}}, schema)
    assert schema["required"] == ["trip"]


async def test_a_model_arrives_as_an_instance_and_a_result_as_json() -> None:
    outcome = await plan.run(
        Raw(b'{"trip":{"places":[{"city":"Oslo"}],"days":"2"},"back_to":{"city":"Rome"}}')
    )
    assert msgspec.json.decode(text_of(outcome.content)) == {
        "places": [{"city": "Oslo", "country": "NO"}, {"city": "Rome", "country": "NO"}],
        "days": 2,
    }


async def test_a_mistake_is_told_with_its_place_and_without_its_value() -> None:
    wrong = b'{"trip":{"places":[{"city":["secret-word"]}],"days":0}}'
    with pytest.raises(InvalidArguments) as refused:
        await plan.run(Raw(wrong))
    said = str(refused.value)
    assert "places.0.city: Input should be a valid string" in said
    assert "days: Input should be greater than or equal to 1" in said
    assert "secret-word" not in said
    assert refused.value.param == "$.trip"


async def test_a_model_may_stand_inside_other_types() -> None:
    @callboard.tool
    async def count(places: Annotated[list[Place], "where to"], own: Own) -> list[Place]:
        assert isinstance(own.place, Place)
        return places

    properties = msgspec.json.decode(count.definition.input_schema)["properties"]
    assert properties["places"]["description"] == "where to"
    outcome = await count.run(Raw(b'{"places":[{"city":"Oslo"}],"own":{"place":{"city":"Rome"}}}'))
    assert text_of(outcome.content) == '[{"city":"Oslo","country":"NO"}]'


def test_two_models_of_one_name_are_refused() -> None:
    def named(kind: type) -> type[pydantic.BaseModel]:
        inner = pydantic.create_model("Inner", value=(kind, ...))
        return pydantic.create_model(f"Outer{kind.__name__}", inner=(inner, ...))

    def both(one: object, two: object) -> None:
        """Take both."""

    both.__annotations__.update(one=named(int), two=named(str))
    with pytest.raises(ConfigurationError, match="two types are named 'Inner'"):
        callboard.tool(both)


def test_what_nobody_knows_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no values of complex"):
        foreign.decode(complex, 1)
    with pytest.raises(TypeError, match="values of object cannot"):
        foreign.encode(object())


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = (
        "import sys, callboard\n"
        "@callboard.tool\n"
        "def add(a: int) -> int:\n    return a\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
