"""What an external tool says of itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.domain.tool_process import Variable
from callboard.secret import Secret
from callboard.tools.usage import read_health, read_usage
from tests.tools.programs import USAGE

# What the seed's own example, currentdatetime, prints.
CLOCK = b"""{"env":{},"schema":{"description":"Returns current date and time in RFC3339 format",
"name":"currentdatetime","parameters":{"additionalProperties":false,"properties":{"format":{"description":
"Optional time format string (defaults to RFC3339)","type":"string"}},"type":"object"}}}\n"""


def usage(**schema: Any) -> bytes:
    return msgspec.json.encode({"schema": schema})


def test_the_name_is_the_operators_and_the_rest_the_programs() -> None:
    definition = read_usage("clock", CLOCK).definition
    assert definition.name == "clock"
    assert definition.description == "Returns current date and time in RFC3339 format"
    schema = msgspec.json.decode(definition.input_schema)
    assert schema["properties"]["format"]["type"] == "string"
    assert schema["additionalProperties"] is False


def test_a_tool_may_take_nothing() -> None:
    schema = msgspec.json.decode(read_usage("x", usage(description="x")).definition.input_schema)
    assert schema == {"type": "object", "properties": {}}


def test_variables_are_declared_with_type_and_default() -> None:
    env = {
        "KEY": {"type": "string", "description": "a key"},
        "RETRIES": {"type": "integer", "default": 3},
        "FAST": {"type": "boolean", "default": True},
        "ANY": {},
    }
    said = read_usage("x", msgspec.json.encode({**USAGE, "env": env}))
    assert said.variables == (
        Variable(name="KEY"),
        Variable(name="RETRIES", type="integer", default=Secret("3")),
        Variable(name="FAST", type="boolean", default=Secret("true")),
        Variable(name="ANY"),
    )


@pytest.mark.parametrize(
    "output, says",
    [
        (b"", "it is no JSON"),
        (b"Usage: greet [NAME]", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[1]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `schema`"),
        (usage(description=1), "Expected `str`, got `int` - at `$.schema.description`"),
        (usage(parameters=[]), "Expected `object`"),
        (usage(parameters={"type": "string"}), "Unknown type - at `$.type`"),
        (usage(parameters={}), "missing required field `type`"),
        (usage(parameters={"type": "object", "properties": []}), "Expected `object`"),
        (usage(parameters={"type": "object", "required": "name"}), "Expected `array`"),
        (
            usage(parameters={"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/"}}}),
            "a reference in the schema leads out of it",
        ),
        (
            usage(parameters={"type": "object", "anyOf": [{"$ref": "file:///etc/passwd"}]}),
            "a reference in the schema leads out of it",
        ),
        (b'{"schema":{"parameters":' + b'{"a":' * 100_000, "it is no JSON"),
        (b'{"schema":{},"env":{"A=B":{}}}', "a name that no variable can have"),
        (b'{"schema":{},"env":{"A":{"type":"secret-word"}}}', "Unknown type"),
        (b'{"schema":{},"env":{"A":{"type":"integer","default":"x"}}}', "default of A: expected a whole"),
        (msgspec.json.encode({"schema": {}, "env": {f"V{n}": {} for n in range(101)}}), "more than 100"),
    ],
)
def test_what_is_no_usage_is_refused_and_not_repeated(output: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=r"^--usage") as refused:
        read_usage("x", output)
    assert says in str(refused.value)
    assert "secret-word" not in str(refused.value)


def test_a_reference_within_the_schema_is_fine() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "string"}},
    }
    assert read_usage("x", usage(parameters=parameters)).definition.name == "x"


@pytest.mark.parametrize(
    "output, expected",
    [
        (b'{"status":true}', (True, "")),
        (b'{"status":false,"details":"no key"}', (False, "no key")),
        (b'{"status":true,"details":{"queue":3},"more":1}', (True, '{"queue":3}')),
    ],
)
def test_health_is_a_status_and_details(output: bytes, expected: tuple[bool, str]) -> None:
    assert read_health(output) == expected


@pytest.mark.parametrize("output", [b"", b"ok", b"{}", b'{"status":"yes"}', b"true"])
def test_what_is_no_health_is_refused(output: bytes) -> None:
    with pytest.raises(ValueError, match=r"^--health did not print what it should: "):
        read_health(output)
