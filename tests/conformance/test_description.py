"""The description finds what is wrong: an answer and an event that lack any field they must have."""

from __future__ import annotations

import json

import pytest

from callboard.domain.block import TextBlock
from callboard.domain.delta import BlockStarted, BlockStopped, GenerationStarted, GenerationStopped, TextDelta
from callboard.domain.turn_log import LogEvent
from callboard.domain.usage import Usage
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from tests.conformance.open_responses import DESCRIPTION
from tests.oracles.responses_lifecycle import Data, events_in


def told() -> list[Data]:
    """The events of a short answer."""
    encoder = ResponseEncoder(id="resp_1", created_at=1, echo=Echo(model="m"))
    events: tuple[LogEvent, ...] = (
        GenerationStarted(id="g", model="m"),
        BlockStarted(index=0, block=TextBlock(text="")),
        TextDelta(index=0, text="hi"),
        BlockStopped(index=0),
        GenerationStopped(stop_reason="end_turn", usage=Usage(input_tokens=1)),
    )
    stream = b"".join(map(encoder.feed, events)) + encoder.finish(2)
    return [event.data for event in events_in(stream) if event.data is not None]


TOLD = told()


def test_every_kind_of_event_has_its_schema() -> None:
    assert len(DESCRIPTION.events) == 24
    assert {event["type"] for event in TOLD} < set(DESCRIPTION.events)


def test_what_we_tell_has_no_fault() -> None:
    assert [fault for event in TOLD for fault in DESCRIPTION.faults_of_event(event)] == []


@pytest.mark.parametrize("field", DESCRIPTION.schemas["ResponseResource"]["required"])
def test_a_response_that_lacks_a_field_is_found(field: str) -> None:
    whole: Data = json.loads(json.dumps(TOLD[-1]["response"]))
    del whole[field]
    assert DESCRIPTION.faults("ResponseResource", whole) != []


@pytest.mark.parametrize("at", range(len(TOLD)))
def test_an_event_that_lacks_a_field_is_found(at: int) -> None:
    event = TOLD[at]
    for field in DESCRIPTION.schemas[DESCRIPTION.events[event["type"]]]["required"]:
        lacking = {name: value for name, value in event.items() if name != field}
        assert DESCRIPTION.faults_of_event(lacking) != [], field


def test_an_event_of_no_such_kind_is_found() -> None:
    assert DESCRIPTION.faults_of_event({"type": "response.text.delta"}) != []
