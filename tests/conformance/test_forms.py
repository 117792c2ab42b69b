"""Where OpenAI and Open Responses differ: who asks for nothing special is answered as both accept it.

What uses a feature that only OpenAI has is answered in OpenAI's form.
"""

from __future__ import annotations

import pytest

from callboard.providers.script import Cut, Text, Thinking
from tests.conformance.held import MODEL, Held, asked, hold_events
from tests.conformance.open_responses import DESCRIPTION
from tests.fakes.company import Stage, replies
from tests.fakes.served import served
from tests.oracles.responses_lifecycle import events_in, violations
from tests.wire.openai_responses.official import check_response

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.fixture
def anyio_backend() -> object:
    return ("asyncio", {"use_uvloop": True})


async def test_every_field_that_may_be_repeated_is_in_a_form_that_both_accept() -> None:
    function = {"type": "function", "name": "f", "description": "F", "parameters": SCHEMA, "strict": True}
    async with asked() as held:
        await held.create(
            "hi",
            instructions="Be brief.",
            max_output_tokens=99,
            max_tool_calls=3,
            metadata={"a": "b"},
            parallel_tool_calls=False,
            prompt_cache_key="k",
            reasoning={"effort": "low", "summary": "concise"},
            safety_identifier="s",
            service_tier="default",
            store=False,
            temperature=0.5,
            text={"format": {"type": "json_object"}, "verbosity": "low"},
            tool_choice={"type": "function", "name": "f"},
            tools=[function],
            top_logprobs=0,
            top_p=0.5,
            truncation="auto",
            presence_penalty=0.5,
            frequency_penalty=-0.5,
        )
        await held.create(
            "hi",
            tools=[function],
            tool_choice={
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}],
            },
        )


async def test_a_schema_for_the_answer_is_repeated_as_openai_does() -> None:
    shape = {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}
    async with asked() as held:
        answer = await held.server.client.post(
            "/v1/responses", json={"model": MODEL, "input": "hi", "text": {"format": shape}}
        )
    response = answer.json()
    check_response(response)
    assert response["text"]["format"] == shape
    faults = DESCRIPTION.faults("ResponseResource", response)
    assert [fault for fault in faults if "$.text.format" not in fault] == []


async def test_tools_that_only_openai_has_are_repeated_as_they_came() -> None:
    search = {"type": "web_search", "search_context_size": "low", "user_location": None}
    async with asked() as held:
        answer = await held.server.client.post(
            "/v1/responses", json={"model": MODEL, "input": "hi", "tools": [search]}
        )
    check_response(answer.json())
    assert answer.json()["tools"] == [search]


async def test_usage_has_every_figure_that_official_types_want() -> None:
    async with asked() as held:
        usage = (await held.create("hi"))["usage"]
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}


async def test_a_stream_that_breaks_off_fails_in_a_form_that_both_accept() -> None:
    stage = Stage(demo=replies([Thinking(thinking="hm hm"), Text(text="half "), Cut()]))
    async with served(stage) as server:
        held = Held(server=server, stage=stage)
        body = {"model": MODEL, "input": "hi", "stream": True}
        answer = await held.server.client.post("/v1/responses", json=body)
    events = events_in(answer.content)
    told = [event.data for event in events if event.data is not None]
    assert violations(events) == []
    hold_events(told)
    assert told[-1]["type"] == "response.failed"
    assert all(event["type"] != "error" for event in told)
    assert b"\r" not in answer.content
    assert answer.content.endswith(b"\n\ndata: [DONE]\n\n")
