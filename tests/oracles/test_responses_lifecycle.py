"""The checker finds nothing wrong with what OpenAI sends, and everything with what was tampered with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from tests.oracles.responses_lifecycle import Data, Event, events_in, renumbered, violations
from tests.wire.openai_chat.recorded import Exchange
from tests.wire.openai_responses.recorded import STREAMS

TEXT, CUT, REASONING, CALL, _ = [events_in(stream.answer) for stream in STREAMS]
SHORT = {"text": TEXT, "cut": CUT, "call": CALL}


def tampered(events: list[Event], kind: str, change: Callable[[Data], None]) -> list[Event]:
    """The events with the last one of a kind changed."""
    copied = copy.deepcopy(events)
    data = next(event.data for event in reversed(copied) if event.data and event.data["type"] == kind)
    assert data is not None
    change(data)
    return copied


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.id)
def test_a_recorded_stream_keeps_all_rules(stream: Exchange) -> None:
    events = events_in(stream.answer)
    assert len(events) > 10
    assert violations(events) == []
    assert violations([*events, Event(None, None)]) == []


def test_the_sample_holds_each_kind() -> None:
    seen = {
        str(event.data["type"]) for events in (TEXT, CUT, REASONING, CALL) for event in events if event.data
    }
    assert seen >= {
        "response.completed",
        "response.incomplete",
        "response.output_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
    }


@pytest.mark.parametrize("name", SHORT)
def test_no_event_can_be_missing(name: str) -> None:
    events = SHORT[name]
    for at in range(len(events)):
        assert violations(renumbered(events[:at] + events[at + 1 :])), events[at].name


@pytest.mark.parametrize("name", SHORT)
def test_no_event_can_come_twice(name: str) -> None:
    events = SHORT[name]
    for at in range(len(events)):
        assert violations(renumbered([*events[: at + 1], *events[at:]])), events[at].name


@pytest.mark.parametrize("name", SHORT)
def test_no_two_neighbours_can_change_places(name: str) -> None:
    events = SHORT[name]
    for at in range(len(events) - 1):
        first, second = events[at], events[at + 1]
        deltas = [event.data.get("delta") if event.data else None for event in (first, second)]
        if deltas[0] is None or deltas[0] != deltas[1]:
            swapped = [*events[:at], second, first, *events[at + 2 :]]
            assert violations(renumbered(swapped)), (first.name, second.name)


def test_sequence_numbers_count_from_nought() -> None:
    assert violations(TEXT[:1] + TEXT[2:])
    assert violations(tampered(TEXT, "response.completed", lambda data: data.update(sequence_number=0)))


def test_the_event_line_says_what_the_data_says() -> None:
    assert violations([Event(None, TEXT[0].data), *TEXT[1:]])
    assert violations([Event("response.queued", TEXT[0].data), *TEXT[1:]])


def test_the_end_mark_comes_once_and_last() -> None:
    mark = Event(None, None)
    assert violations([*TEXT, mark, mark])
    assert violations([mark, *TEXT])
    assert violations([*TEXT[:-1], mark, TEXT[-1]])


FAILED: Data = {
    "status": "failed",
    "output": [],
    "error": {"code": "server_error", "message": "m"},
    "usage": None,
}


def test_a_stream_may_fail_in_the_middle_of_an_item() -> None:
    begun = next(event.data for event in TEXT if event.data)
    data = {"type": "response.failed", "response": {**begun["response"], **FAILED}}
    middle = next(at for at, event in enumerate(TEXT) if event.name == "response.output_text.delta")
    events = renumbered([*TEXT[: middle + 1], Event("response.failed", data)])
    assert violations(events) == []
    assert violations(tampered(events, "response.failed", lambda data: data["response"].update(error=None)))
    assert violations(tampered(events, "response.failed", lambda data: data["response"].update(output=[{}])))


@pytest.mark.parametrize(
    "events, kind, path, value",
    [
        (TEXT, "response.output_text.delta", ("delta",), "!"),
        (TEXT, "response.output_text.delta", ("item_id",), "msg_other"),
        (TEXT, "response.output_text.delta", ("output_index",), 1),
        (TEXT, "response.output_text.delta", ("content_index",), 1),
        (TEXT, "response.output_text.done", ("text",), "!"),
        (TEXT, "response.content_part.added", ("content_index",), 1),
        (TEXT, "response.content_part.added", ("part", "text"), "early"),
        (TEXT, "response.content_part.done", ("part", "text"), "!"),
        (TEXT, "response.output_item.added", ("output_index",), 1),
        (TEXT, "response.output_item.added", ("item", "id"), ""),
        (TEXT, "response.output_item.added", ("item", "status"), "completed"),
        (TEXT, "response.output_item.done", ("item", "id"), "msg_other"),
        (TEXT, "response.output_item.done", ("item", "type"), "reasoning"),
        (TEXT, "response.output_item.done", ("item", "status"), "in_progress"),
        (TEXT, "response.output_item.done", ("item", "content"), []),
        (TEXT, "response.in_progress", ("response", "id"), "resp_other"),
        (TEXT, "response.in_progress", ("response", "output"), [{}]),
        (TEXT, "response.in_progress", ("response", "status"), "completed"),
        (TEXT, "response.completed", ("response", "id"), ""),
        (TEXT, "response.completed", ("response", "status"), "in_progress"),
        (TEXT, "response.completed", ("response", "output"), []),
        (TEXT, "response.completed", ("response", "usage"), None),
        (TEXT, "response.completed", ("response", "usage", "total_tokens"), 0),
        (TEXT, "response.completed", ("response", "error"), {"code": "c", "message": "m"}),
        (TEXT, "response.completed", ("response", "incomplete_details"), {"reason": "max_output_tokens"}),
        (CUT, "response.incomplete", ("response", "incomplete_details"), None),
        (CALL, "response.function_call_arguments.done", ("arguments",), "{}"),
        (CALL, "response.function_call_arguments.delta", ("delta",), None),
        (CALL, "response.output_item.done", ("item", "arguments"), "{}"),
        (REASONING, "response.reasoning_summary_text.delta", ("summary_index",), 9),
        (REASONING, "response.reasoning_summary_part.done", ("part", "text"), "!"),
    ],
)
def test_a_changed_value_is_noticed(
    events: list[Event], kind: str, path: tuple[str, ...], value: object
) -> None:
    def change(data: Data) -> None:
        for step in path[:-1]:
            data = data[step]
        assert data[path[-1]] != value
        data[path[-1]] = value

    assert violations(tampered(events, kind, change))


def test_an_incomplete_item_needs_an_incomplete_response() -> None:
    completed = tampered(CUT, "response.incomplete", lambda data: data.update(type="response.completed"))
    last = completed[-1].data
    assert last is not None
    last["response"].update(status="completed", incomplete_details=None)
    assert violations([*completed[:-1], Event("response.completed", last)]) == [
        "response.completed: an item is incomplete and the response is not"
    ]


@pytest.mark.parametrize(
    "stream",
    [
        b'event: a\r\ndata: {"type":"a"}\r\n\r\n',
        b'event: a\ndata: {"type":\ndata: "a"}\n\n',
        b'event: a\nid: 1\ndata: {"type":"a"}\n\n',
        b'event: a\ndata: {"type":"a"}\n\nevent: b\n',
        b"event: a\n\n",
    ],
)
def test_what_a_simple_parser_would_not_understand_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r"stream|event"):
        events_in(stream)


def test_comments_are_no_events() -> None:
    assert events_in(b": keep-alive\n\ndata: [DONE]\n\n") == [Event(None, None)]
