"""Turns that broke off: official types and the published description accept what is told of them."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from callboard.domain.block import TextBlock
from callboard.domain.delta import BlockStarted, BlockStopped, GenerationStarted, TextDelta
from callboard.domain.turn_log import LogEvent, TurnBroken, broken
from callboard.errors import Draining
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from tests.conformance.held import hold, hold_events
from tests.oracles.responses_lifecycle import Data, events_in, violations

TOLD: tuple[LogEvent, ...] = (
    GenerationStarted(id="g", model="m"),
    BlockStarted(index=0, block=TextBlock(text="")),
    TextDelta(index=0, text="one"),
    BlockStopped(index=0),
    BlockStarted(index=1, block=TextBlock(text="")),
    TextDelta(index=1, text="tw"),
)


def ended(told: tuple[LogEvent, ...], end: TurnBroken) -> Data:
    """The last event of a turn that ended so, after everything was held against every oracle."""
    encoder = ResponseEncoder(id="resp_1", created_at=1, echo=Echo(model="m"))
    stream = events_in(b"".join(map(encoder.feed, (*told, end))))
    assert violations(stream) == []
    events = [event.data for event in stream if event.data is not None]
    hold_events(events)
    assert json.loads(encoder.response) == events[-1]["response"]
    hold(events[-1]["response"])
    return events[-1]


@pytest.mark.parametrize("told", [TOLD[:1], TOLD[:3], TOLD[:4], TOLD])
@pytest.mark.parametrize("why", ["cancelled", "lost"])
def test_what_was_cancelled_or_lost_is_incomplete_in_everybodys_eyes(
    told: tuple[LogEvent, ...], why: Literal["cancelled", "lost"]
) -> None:
    last = ended(told, TurnBroken(why=why))
    response = last["response"]
    assert last["type"] == "response.incomplete"
    assert response["status"] == ("cancelled" if why == "cancelled" else "incomplete")
    assert response["incomplete_details"] is None
    assert (response["error"] is None) == (why == "cancelled")


def test_a_lost_answer_says_why_and_keeps_what_was_told_of_it() -> None:
    response = ended(TOLD, TurnBroken(why="lost"))["response"]
    assert response["error"]["code"] == "server_error"
    assert "is gone" in response["error"]["message"]
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert [item["content"][0]["text"] for item in response["output"]] == ["one", "tw"]


def test_an_answer_that_a_drain_broke_off_is_told_and_logged_alike() -> None:
    why = Draining("This server is shutting down; the answer was broken off.")
    encoder = ResponseEncoder(id="resp_1", created_at=1, echo=Echo(model="m"))
    for event in TOLD:
        encoder.feed(event)
    encoder.fail(why)
    assert ended(TOLD, broken(why))["response"] == json.loads(encoder.response)
