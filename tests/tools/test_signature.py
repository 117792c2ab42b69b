"""Signatures and docstrings, as the model reads them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import msgspec
import pytest

from callboard.errors import ConfigurationError
from callboard.tools.context import ToolContext
from callboard.tools.signature import read, read_docstring


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    tags: list[str] = field(default_factory=list)


class Options(TypedDict):
    depth: int
    label: NotRequired[str]


class Node(msgspec.Struct):
    value: int
    next: "Node | None" = None


def schema_of(function: Callable[..., object]) -> dict[str, Any]:
    schema: dict[str, Any] = msgspec.json.decode(read(function).schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def test_the_schema_is_one_closed_object_with_its_required_names() -> None:
    def search(query: str, limit: int = 10) -> None: ...

    assert schema_of(search) == {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "default": 10}},
        "required": ["query"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> str: ...  # type: ignore[empty-body]  # only its signature is read

    assert schema_of(now) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "hint, expected",
    [
        (str, {"type": "string"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {"description": "Any JSON value."}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (dict[str, object], {"type": "object", "additionalProperties": {"description": "Any JSON value."}}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Annotated[int, "How many."], {"type": "integer", "description": "How many."}),
        (Annotated[int, msgspec.Meta(ge=1)], {"type": "integer", "minimum": 1}),
        (
            Annotated[int, "Many.", msgspec.Meta(ge=1)],
            {"type": "integer", "description": "Many.", "minimum": 1},
        ),
    ],
)
def test_a_type_hint_becomes_its_schema(hint: Any, expected: dict[str, Any]) -> None:
    def takes(value: object) -> None: ...

    takes.__annotations__["value"] = hint

    assert schema_of(takes)["properties"]["value"] == expected


def test_named_types_are_local_references() -> None:
    def draw(colour: Colour, point: Point, options: Options, node: Node) -> None: ...

    schema = schema_of(draw)

    assert schema["properties"]["colour"] == {"$ref": "#/$defs/Colour"}
    assert set(schema["$defs"]) == {"Colour", "Point", "Options", "Node"}
    assert schema["$defs"]["Options"]["required"] == ["depth"]


def test_a_default_that_json_cannot_carry_is_left_out_of_the_schema() -> None:
    marker = object()

    def search(query: str, limit: object = marker) -> None: ...

    schema = schema_of(search)

    assert schema["properties"]["limit"] == {"description": "Any JSON value."}
    assert schema["required"] == ["query"]


def test_the_docstring_describes_the_tool_and_its_parameters() -> None:
    def search(query: str, limit: Annotated[int, "From the hint."] = 3) -> None:
        """Search the archive.

        Newest first.

        Args:
            query: What to look for,
                in any language: even two lines.
            limit: From the docstring.

        Returns:
            Nothing that the model needs to know.
        """

    schema = schema_of(search)

    assert read(search).description == "Search the archive.\n\nNewest first."
    assert schema["properties"]["query"]["description"] == (
        "What to look for, in any language: even two lines."
    )
    assert schema["properties"]["limit"]["description"] == "From the hint."


def test_docstring_entries_may_state_types_and_start_on_the_next_line() -> None:
    _, documented = read_docstring("Do.\n\nArgs:\n  a (int, optional): One.\n  b:\n    Two.\n\n  c: Three.")

    assert documented == {"a": "One.", "b": "Two.", "c": "Three."}


def test_no_docstring_is_no_description() -> None:
    assert read_docstring("") == ("", {})


def two_contexts(first: ToolContext, second: ToolContext | None = None) -> None: ...
def positional(a: int, /) -> None: ...
def many(*values: int) -> None: ...
def named(**values: int) -> None: ...
def bare(a) -> None: ...  # type: ignore[no-untyped-def]  # the mistake under test
def unsupported(a: complex) -> None: ...
def two_objects(a: Point | Node) -> None: ...
def unresolved(a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the mistake under test


@pytest.mark.parametrize(
    "function, says",
    [
        (two_contexts, "tool 'two_contexts': first and second both take a context; one is enough"),
        (positional, "tool 'positional': parameter a: int cannot be passed by name"),
        (many, "cannot be passed by name"),
        (named, "cannot be passed by name"),
        (bare, "tool 'bare': parameter 'a' needs a type hint"),
        (unsupported, "complex"),
        (two_objects, "more than one dict-like type"),
        (unresolved, "cannot be resolved: name 'Missing' is not defined"),
    ],
)
def test_a_signature_that_no_model_could_use_is_refused(function: Callable[..., object], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(function)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_context_is_recognised_by_its_type_and_the_model_is_not_told_of_it() -> None:
    def dig(
        here: ToolContext, depth: Annotated[int, msgspec.Meta(ge=1, le=9, description="how deep")]
    ) -> None:
        """Dig."""

    signature = read(dig)
    assert signature.context == "here"
    assert msgspec.json.decode(signature.schema)["properties"] == {
        "depth": {"type": "integer", "minimum": 1, "maximum": 9, "description": "how deep"}
    }


def test_most_functions_want_no_context() -> None:
    assert read(test_most_functions_want_no_context).context is None
