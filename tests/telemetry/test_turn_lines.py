"""The lines of a turn: the same facts in both forms, in the schema's order, with nothing in them to hide."""

import json
from typing import get_args

import pytest

from callboard.domain.observation import CommandCompleted, CommandStarted, ProviderAnswered, ToolExecuting
from callboard.telemetry import schema, tool_events
from callboard.telemetry.event import HEAD, Event
from callboard.telemetry.turn_lines import TurnLine, turn_json, turn_logfmt
from tests.telemetry.logfmt import parse

TIME = "2025-01-01T02:21:00Z"
LINES: dict[str, tuple[TurnLine, Event]] = {
    "started": (CommandStarted(request_id="req_1", assistant="a b"), schema.PROCESSING_COMMAND),
    "answered": (
        ProviderAnswered(request_id="req_1", assistant="a", provider="p=1", model="m\n", tokens=150),
        schema.PROVIDER_RESPONSE,
    ),
    "tool": (ToolExecuting(request_id="req_1", assistant="a", name='"'), tool_events.EXECUTING_TOOL),
    "completed": (
        CommandCompleted(request_id="req_1", assistant="a", duration_us=1_500_000),
        schema.COMMAND_COMPLETED,
    ),
}


def test_every_kind_of_line_is_shown_here() -> None:
    assert {type(line) for line, _ in LINES.values()} == set(get_args(TurnLine))


@pytest.mark.parametrize("name", LINES)
def test_both_forms_tell_the_same_in_the_order_of_the_schema(name: str) -> None:
    line, event = LINES[name]
    text = turn_logfmt(TIME, line)
    assert text.endswith("\n")
    bare, told = parse(text[:-1]), json.loads(turn_json(TIME, line))
    assert bare == {key: str(value) for key, value in told.items()}
    assert (told["level"], told["msg"]) == (event.level.upper(), event.msg)
    known = (*HEAD, *event.names)
    assert list(told) == [key for key in known if key in told]
    assert set(known) - set(told) <= {"arguments"}


@pytest.mark.parametrize("write", [turn_logfmt, turn_json])
def test_a_name_that_looks_like_a_credential_is_not_written(write: object) -> None:
    assert callable(write)
    line = ToolExecuting(request_id="sk-0123456789", assistant="a", name="Bearer abcdefgh")
    text = write(TIME, line)
    assert "0123456789" not in text
    assert "abcdefgh" not in text
