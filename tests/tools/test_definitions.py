"""What a stranger says of his tools: what of it a model may be told."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.tools.definitions import (
    SourceTool,
    canonical_name,
    check_definition,
    readable,
    with_parameters,
    without_parameters,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    "tool, name", [("t", "s__t"), ("a.b/c-d_e", "s__a_b_c-d_e"), ("x" * 61, f"s__{'x' * 61}")]
)
def test_a_name_is_the_servers_and_the_tools(tool: str, name: str) -> None:
    assert canonical_name("s", tool) == name


@pytest.mark.parametrize("tool", ["", "a b", "a__b", "a./b", "ü", "\x1b[31m", "a\u202eb", "x" * 62, "a\n"])
def test_a_name_that_could_mislead_is_refused(tool: str) -> None:
    with pytest.raises(ValueError, match="its name"):
        canonical_name("s", tool)


@given(st.text(max_size=80))
def test_a_name_is_of_the_strict_charset_or_none(tool: str) -> None:
    try:
        name = canonical_name("server", tool)
    except ValueError:
        return
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert name.split("__")[0] == "server"
    assert name.count("__") == 1


@pytest.mark.parametrize(
    "schema, why",
    [
        ([], "none of an object"),
        ({"type": "string"}, "none of an object"),
        ({"type": "object", "x": [{"y": {"$ref": "http://169.254.169.254/"}}]}, "another document"),
        ({"type": "object", "allOf": [{"$dynamicRef": "file:///etc/passwd"}]}, "another document"),
        ({"type": "object", "description": "x" * 70_000}, "more than"),
    ],
)
def test_a_definition_that_could_do_harm_is_refused(schema: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_definition(SourceTool(name="t", input_schema=raw(schema)))


def test_a_tool_that_only_runs_as_a_task_is_refused() -> None:
    with pytest.raises(ValueError, match="as a task"):
        check_definition(SourceTool(name="t", task_only=True))


def test_references_within_a_schema_are_fine_even_where_they_would_take_for_ever_to_follow() -> None:
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(30)}
    check_definition(SourceTool(name="t", input_schema=raw({"type": "object", "$defs": definitions})))


def test_a_fingerprint_knows_what_was_said_and_not_how_it_was_written() -> None:
    one = SourceTool(name="t", description="d", input_schema=Raw(b'{"type":"object","a":1}'))
    same = SourceTool(name="t", description="d", input_schema=Raw(b'{"a": 1, "type": "object"}'))
    others = [
        SourceTool(name="u", description="d", input_schema=one.input_schema),
        SourceTool(name="t", description="e", input_schema=one.input_schema),
        SourceTool(name="t", description="d", input_schema=Raw(b'{"type":"object","a":2}')),
        SourceTool(name="t", description="d", input_schema=one.input_schema, hints=Raw(b'{"x":1}')),
    ]
    assert one.fingerprint == same.fingerprint
    assert len({one.fingerprint, *(each.fingerprint for each in others)}) == 5


def test_text_loses_what_hides_or_reorders() -> None:
    assert readable("\x1b[31mred\u202e\u200b a\tb\nc\x00\u2028\ufeff") == "[31mred a\tb\nc"


def test_parameters_are_added_and_taken_out_again_and_the_source_is_not_touched() -> None:
    before = deepcopy(SCHEMA)
    schema, added = with_parameters(raw(SCHEMA), {"aiContext": "Why?", "a": "Not this one."})
    assert added == ("aiContext",)
    assert json.loads(bytes(schema)) == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "aiContext": {"type": "string", "description": "Why?"}},
        "required": ["a", "aiContext"],
    }
    assert before == SCHEMA
    arguments = without_parameters(raw({"a": 1, "aiContext": "because", "b": [1.50]}), added)
    assert json.loads(bytes(arguments)) == {"a": 1, "b": [1.5]}
    assert without_parameters(Raw(b"no JSON"), added) == Raw(b"no JSON")
    assert with_parameters(raw(SCHEMA), {}) == (raw(SCHEMA), ())
