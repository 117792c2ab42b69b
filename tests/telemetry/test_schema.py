"""The schema: sound in itself, and the document that lists it is its own."""

import re
from pathlib import Path

from callboard.errors import CallboardError, RateLimited
from callboard.telemetry import schema, tool_events
from callboard.telemetry.event import CONTEXT, HEAD, Event
from callboard.telemetry.reference import error_types, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "log.md"


def test_the_document_is_made_from_the_schema() -> None:
    code = "from callboard.telemetry.reference import reference; print(reference(), end=str())"
    assert DOCUMENT.read_text("utf-8") == reference(), f'to mend this: python -c "{code}" > docs/log.md'


def test_every_event_is_listed_once_under_a_message_of_its_own() -> None:
    places = (*vars(schema).values(), *vars(tool_events).values())
    declared = [each for each in places if isinstance(each, Event)]
    assert sorted(each.msg for each in schema.EVENTS) == sorted(each.msg for each in declared)
    assert len({each.msg for each in schema.EVENTS}) == len(schema.EVENTS)


def test_keys_are_plain_words_and_none_is_used_twice() -> None:
    for event in schema.EVENTS:
        keys = [*HEAD, *event.names]
        assert len(set(keys)) == len(keys)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in keys)
        assert "event" not in keys  # structlog's own


def test_context_comes_in_one_order() -> None:
    order = [each.name for each in CONTEXT]
    for event in schema.EVENTS:
        assert list(event.context) == sorted(event.context, key=order.index)


def test_error_types_are_those_of_the_tree() -> None:
    assert {CallboardError.type, RateLimited.type, "cancelled"} < set(error_types())
