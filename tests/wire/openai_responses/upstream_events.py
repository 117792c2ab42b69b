"""Events of an upstream, decoded."""

from __future__ import annotations

import json

from callboard.domain.delta import GenerationEvent
from callboard.domain.fold import fold
from callboard.domain.generation import Generation
from callboard.wire.openai_responses.upstream_stream import EventDecoder
from tests.fakes.openai_traffic import Json
from tests.fakes.responses_traffic import function_call, message, reasoning

OUTPUT = [
    reasoning("why", "how"),
    message("hello"),
    function_call("f", '{"a": [1.50]}'),
    function_call("g", "", "d"),
]


def decoded(*events: Json) -> list[GenerationEvent]:
    """What whole events, and then the end of the stream, come to."""
    decoder = EventDecoder()
    made = [one for event in events for one in decoder.feed(json.dumps(event).encode())]
    return [*made, *decoder.end()]


def answer(*events: Json) -> Generation:
    """The generation that events make."""
    return fold(decoded(*events))
