"""How a tool is described by its server, and what we make of it."""

from __future__ import annotations

import json

import mcp_types
import pytest

from callboard.tools.mcp.listing import source_tool


def described(**more: object) -> mcp_types.Tool:
    return mcp_types.Tool.model_validate({"name": "t", "inputSchema": {"type": "object"}, **more})


def test_a_schema_stays_as_it_is() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"a": {"$anchor": "x"}},
        "if": {"required": ["a"]},
        "additionalProperties": False,
    }
    assert json.loads(bytes(source_tool(described(inputSchema=schema)).input_schema)) == schema


@pytest.mark.parametrize("hint", ["idempotentHint", "readOnlyHint"])
def test_what_may_be_called_twice_is_a_claim_of_the_servers(hint: str) -> None:
    assert source_tool(described(annotations={hint: True})).traits.idempotent
    assert not source_tool(described(annotations={hint: False})).traits.idempotent


def test_what_only_reads_is_a_claim_too() -> None:
    assert source_tool(described(annotations={"readOnlyHint": True})).read_only
    assert not source_tool(described(annotations={"idempotentHint": True})).read_only
    assert not source_tool(described()).read_only


def test_a_title_stands_in_for_a_description() -> None:
    assert source_tool(described(title="Look", annotations={"title": "Other"})).description == "Look"
    assert source_tool(described(annotations={"title": "Other"})).description == "Other"
    assert source_tool(described(title="Look", description="Looks.")).description == "Looks."


@pytest.mark.parametrize("support, only", [("required", True), ("optional", False), ("forbidden", False)])
def test_what_only_runs_as_a_task_is_known(support: str, only: bool) -> None:
    assert source_tool(described(execution={"taskSupport": support})).task_only is only
    assert source_tool(described()).task_only is False


def test_halves_of_characters_are_replaced() -> None:
    assert source_tool(described(description="a\ud800b")).description == "a?b"
