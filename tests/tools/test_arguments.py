"""Arguments a model wrote: what is taken, what is refused, and what the refusal says."""

import pytest
from msgspec import Raw, Struct

from callboard.errors import InvalidArguments
from callboard.tools.arguments import check, decode

SCHEMA = Raw(
    b'{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},'
    b'"required":["city"],"additionalProperties":false}'
)


class Forecast(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    city: str
    days: int = 1
    exact: bool = False
    place: int | str = 0


@pytest.mark.parametrize(
    "text, expected",
    [
        (b'{"city":"Paris"}', Forecast(city="Paris")),
        (b'{"city":"Paris","days":"3"}', Forecast(city="Paris", days=3)),
        (b'{"city":"Paris","days":3.0}', Forecast(city="Paris", days=3)),
        (b'{"city":"Paris","exact":"true"}', Forecast(city="Paris", exact=True)),
        (b'{"city":"Paris","place":"3"}', Forecast(city="Paris", place="3")),
    ],
)
def test_a_plain_meaning_is_taken(text: bytes, expected: Forecast) -> None:
    assert decode("forecast", Raw(text), Forecast, SCHEMA) == expected


@pytest.mark.parametrize("text", [b"", b"  \n", b"{}"])
def test_no_text_is_an_empty_object(text: bytes) -> None:
    class Nothing(Struct, frozen=True):
        pass

    assert decode("now", Raw(text), Nothing, Raw(b"{}")) == Nothing()
    check("now", Raw(text), Raw(b'{"type":"object"}'))


MISTAKES = [
    pytest.param(b'{"days":1}', "$.city", "missing required field `city`", id="missing"),
    pytest.param(b'{"city":"x","town":"y"}', "$.town", "unknown field `town`", id="unknown"),
    pytest.param(b'{"city":"x","days":"soon"}', "$.days", "at `$.days`", id="wrong type"),
    pytest.param(b'{"city":7}', "$.city", "at `$.city`", id="number for text"),
    pytest.param(b'{"city":"x","days":true}', "$.days", "at `$.days`", id="bool for integer"),
    pytest.param(b'{"city":"x","days":1.5}', "$.days", "at `$.days`", id="fraction for integer"),
    pytest.param(b"[]", "$", "Expected `object`", id="not an object"),
    pytest.param(b'{"city":', "$", "not valid JSON", id="cut"),
    pytest.param(b'{"city":"\xff"}', "$", "not valid JSON", id="not UTF-8"),
]


@pytest.mark.parametrize("text, path, says", MISTAKES)
def test_a_mistake_is_refused_with_its_place_and_the_parameters(text: bytes, path: str, says: str) -> None:
    for refuse in (
        lambda: decode("forecast", Raw(text), Forecast, SCHEMA),
        lambda: check("forecast", Raw(text), SCHEMA),
    ):
        with pytest.raises(InvalidArguments) as caught:
            refuse()
        message = str(caught.value)
        assert caught.value.param == path
        assert message.startswith("Invalid arguments for tool 'forecast': ")
        assert says in message
        assert message.endswith("Parameters: city (string, required), days (integer).")


def test_arguments_nested_past_reason_are_refused_and_crash_nothing() -> None:
    class Anything(Struct, frozen=True):
        x: object

    text = Raw(b'{"x":' * 100_000)
    with pytest.raises(InvalidArguments, match="not valid JSON"):
        decode("t", text, Anything, SCHEMA)
    with pytest.raises(InvalidArguments, match="not valid JSON"):
        check("t", text, SCHEMA)


def test_a_tool_without_parameters_says_so() -> None:
    with pytest.raises(InvalidArguments, match=r"The tool takes no parameters\.$"):
        check("now", Raw(b'{"a":1}'), Raw(b'{"type":"object","properties":{},"additionalProperties":false}'))


@pytest.mark.parametrize(
    "stated, value, fits",
    [
        (b'"string"', b'"a"', True),
        (b'"string"', b"1", False),
        (b'"integer"', b"1", True),
        (b'"integer"', b"1.0", True),
        (b'"integer"', b"1.5", False),
        (b'"integer"', b"true", False),
        (b'"number"', b"1.5", True),
        (b'"number"', b"false", False),
        (b'"boolean"', b"true", True),
        (b'"boolean"', b"0", False),
        (b'"null"', b"null", True),
        (b'"null"', b"0", False),
        (b'"array"', b"[1]", True),
        (b'"array"', b"{}", False),
        (b'"object"', b"{}", True),
        (b'"object"', b"[]", False),
        (b'["string","null"]', b"null", True),
        (b'["string","null"]', b"1", False),
        (b'"surprise"', b"1", True),
        (b'"surprise"', b"true", True),
    ],
)
def test_a_property_is_checked_against_its_stated_types(stated: bytes, value: bytes, fits: bool) -> None:
    schema = Raw(b'{"type":"object","properties":{"x":{"type":' + stated + b"}}}")
    arguments = Raw(b'{"x":' + value + b"}")
    if fits:
        check("t", arguments, schema)
    else:
        with pytest.raises(InvalidArguments, match=r"Expected `.*` at `\$\.x`"):
            check("t", arguments, schema)


def test_null_stands_for_what_is_left_out_and_for_nothing_that_is_required() -> None:
    schema = Raw(
        b'{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"string"}},"required":["y"]}'
    )
    check("t", Raw(b'{"x":null,"y":"a"}'), schema)
    with pytest.raises(InvalidArguments, match=r"Expected `string` at `\$\.y`"):
        check("t", Raw(b'{"x":null,"y":null}'), schema)


@pytest.mark.parametrize(
    "schema",
    [
        b"true",
        b'{"properties":7}',
        b'{"properties":{"x":true}}',
        b'{"properties":{"x":{"type":{"a":1}}}}',
        b'{"properties":{"x":{"$ref":"#/$defs/X"}}}',
        b'{"properties":{"x":' + b'{"properties":{"x":' * 50_000,
        b"not json",
    ],
)
def test_a_schema_we_cannot_read_forbids_nothing(schema: bytes) -> None:
    check("t", Raw(b'{"x":1,"y":2}'), Raw(schema))
