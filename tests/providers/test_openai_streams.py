"""The OpenAI handler over a transport of canned bytes: streams cut and chunked everywhere, and errors."""

import json
import random
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest

from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.delta import ArgumentsDelta, GenerationEvent, GenerationStopped, TextDelta
from callboard.domain.fold import fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.usage import Usage
from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamOverloaded,
    UpstreamPermission,
    UpstreamQuota,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
)
from callboard.providers.handler import ProviderCall
from callboard.providers.openai import OpenAIHandler
from callboard.providers.settings import ProviderSettings
from tests.fakes.canned_http import CannedClient, CannedResponse
from tests.fakes.openai_traffic import Json, chunk, completion, sse

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent / "data"
DONE = b"data: [DONE]\n\n"
TEXTS = ["Hello", " \u2028 \u0085 ", "👋🏽", "data: [DONE]\n\n", ""]
STREAMS = {
    "text": b": keep-alive\n\n"
    + b"".join(sse(chunk({"content": text})) for text in TEXTS)
    + sse(chunk({}, finish_reason="stop"))
    + DONE,
    "CRLF and an event over two lines": sse(chunk({"content": "Hi"})).replace(b"\n", b"\r\n")
    + sse(chunk({}, finish_reason="stop")).replace(b', "model"', b',\ndata: "model"')
    + DONE,
    "recorded tool call": (DATA / "tool_call.sse").read_bytes(),
    "recorded whole tool call": (DATA / "whole_tool_call.sse").read_bytes(),
}


async def run(client: CannedClient, events: list[GenerationEvent], *, stream: bool = True) -> None:
    """One call; the events are kept even where it fails."""
    settings = ProviderSettings(name="subject", kind="openai", base_url="https://api.example.com/v1")
    handler = OpenAIHandler(settings, client=client)
    request = GenerationRequest(model="any", messages=(user_text("Hi"),))
    call = ProviderCall(request=request, upstream_name="fake-1", stream=stream)
    with anyio.fail_after(5):
        async with handler.initialize_client(), handler.call_api(call) as answer:
            async for event in answer:
                events.append(event)  # noqa: PERF401 - kept when the loop raises


async def events_of(*pieces: bytes) -> list[GenerationEvent]:
    events: list[GenerationEvent] = []
    await run(CannedClient(CannedResponse(*pieces)), events)
    return events


async def generation_of(*chunks: Json) -> Generation:
    return fold(await events_of(*[sse(each) for each in chunks], DONE))


def needed(stream: bytes) -> int:
    """Bytes without which the stream is not complete: up to the end of the event with the reason to stop."""
    reason = max(stream.find(b'"finish_reason":"'), stream.find(b'"finish_reason": "'))
    ends = [
        stream.find(end, reason) + len(end) for end in (b"\n\n", b"\r\n\r\n") if stream.find(end, reason) > 0
    ]
    return min(ends)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=False)
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_cut_at_any_byte_is_complete_or_incomplete_and_never_between(name: str) -> None:
    stream = STREAMS[name]
    boundary = needed(stream)
    for offset in range(len(stream) + 1):
        for lost in (True, False):
            events: list[GenerationEvent] = []
            response = CannedResponse(*[stream[:offset]] * bool(offset), cut=lost)
            complete = offset >= (len(stream) if lost else boundary)
            with nullcontext() if complete else pytest.raises(StreamIncomplete):
                await run(CannedClient(response), events)
            assert any(isinstance(event, GenerationStopped) for event in events) is complete
            assert response.closed


@pytest.mark.parametrize("name", STREAMS)
async def test_chunking_does_not_change_the_events(name: str) -> None:
    stream = STREAMS[name]
    whole = await events_of(stream)
    assert isinstance(whole[-1], GenerationStopped)
    assert await events_of(*[stream[i : i + 1] for i in range(len(stream))]) == whole
    rng = random.Random(4)
    for _ in range(20):
        cuts = sorted(rng.sample(range(1, len(stream)), 12))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert await events_of(*pieces) == whole


async def test_text_comes_through_as_it_was_written() -> None:
    generation = fold(await events_of(STREAMS["text"]))
    assert text_of(generation.content) == "".join(TEXTS)


async def test_a_recorded_tool_call_has_its_arguments() -> None:
    for name, arguments in (
        ("recorded tool call", {"city": "New York"}),
        ("recorded whole tool call", {"city": "San Francisco"}),
    ):
        generation = fold(await events_of(STREAMS[name]))
        (block,) = [each for each in generation.content if isinstance(each, ToolUseBlock)]
        assert block.name == "get_weather"
        assert json.loads(bytes(block.input)) == arguments
        assert generation.stop_reason == "tool_use"


async def test_usage_in_the_last_chunk_is_read() -> None:
    generation = fold(await events_of(STREAMS["recorded whole tool call"]))
    assert generation.usage == Usage(input_tokens=96, output_tokens=23)


def tool_delta(
    index: int | None, *, call_id: str | None = None, name: str | None = None, text: str | None
) -> Json:
    function: Json = {"arguments": text} if name is None else {"name": name, "arguments": text}
    entry: Json = {"function": function} if index is None else {"index": index, "function": function}
    if call_id is not None:
        entry |= {"id": call_id, "type": "function"}
    return chunk({"tool_calls": [entry]})


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([tool_delta(0, call_id="a", name="f", text='{"n":1}')], id="complete at once"),
        pytest.param(
            [
                tool_delta(0, call_id="a", name="f", text=""),
                tool_delta(0, text='{"n"'),
                tool_delta(0, text=":1}"),
            ],
            id="in pieces",
        ),
        pytest.param(
            [tool_delta(0, call_id="a", name="f", text=None), tool_delta(0, text='{"n":1}')], id="null first"
        ),
        pytest.param(
            [tool_delta(None, call_id="a", name="f", text='{"n"'), tool_delta(None, text=":1}")],
            id="no index",
        ),
    ],
)
@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop"])
async def test_arguments_are_put_together_once_however_they_come(
    deltas: Sequence[Json], finish_reason: str
) -> None:
    events = await events_of(
        *[sse(each) for each in deltas], sse(chunk({}, finish_reason=finish_reason)), DONE
    )
    generation = fold(events)
    (block,) = generation.content
    assert isinstance(block, ToolUseBlock)
    assert (block.id, block.name, bytes(block.input)) == ("a", "f", b'{"n":1}')
    assert "".join(event.partial_json for event in events if isinstance(event, ArgumentsDelta)) == '{"n":1}'
    assert generation.stop_reason == "tool_use"


async def test_parallel_calls_that_interleave_are_put_in_order() -> None:
    generation = await generation_of(
        tool_delta(0, call_id="a", name="f", text='{"n":'),
        tool_delta(1, call_id="b", name="g", text='{"m":'),
        tool_delta(0, text="1}"),
        tool_delta(1, text="2}"),
        chunk({}, finish_reason="tool_calls"),
    )
    calls = [each for each in generation.content if isinstance(each, ToolUseBlock)]
    assert [(call.id, call.name, bytes(call.input)) for call in calls] == [
        ("a", "f", b'{"n":1}'),
        ("b", "g", b'{"m":2}'),
    ]


@pytest.mark.parametrize(
    "finish_reason, stop_reason",
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_reasons_to_stop_are_translated(finish_reason: str, stop_reason: str, *, stream: bool) -> None:
    events: list[GenerationEvent] = []
    streamed = CannedResponse(sse(chunk({"content": "x"})), sse(chunk({}, finish_reason=finish_reason)), DONE)
    document = json.dumps(completion("x", finish_reason=finish_reason)).encode()
    unary = CannedResponse(document, headers=(("content-type", "application/json"),))
    await run(CannedClient(streamed if stream else unary), events, stream=stream)
    generation = fold(events)
    assert generation.content == (TextBlock(text="x"),)
    assert generation.stop_reason == stop_reason


@pytest.mark.parametrize(
    "status, kind, code, expected",
    [
        (400, "invalid_request_error", None, UpstreamInvalid),
        (401, "invalid_request_error", "invalid_api_key", UpstreamAuthentication),
        (403, None, None, UpstreamPermission),
        (404, "invalid_request_error", "model_not_found", UpstreamNotFound),
        (408, None, None, UpstreamTimeout),
        (429, "rate_limit_error", "rate_limit_exceeded", UpstreamRateLimited),
        (429, "insufficient_quota", "insufficient_quota", UpstreamQuota),
        (500, "server_error", None, UpstreamServerError),
        (502, None, None, UpstreamServerError),
        (503, None, None, UpstreamOverloaded),
        (504, None, None, UpstreamTimeout),
        (529, "overloaded_error", None, UpstreamOverloaded),
    ],
)
async def test_statuses_types_and_codes_become_our_errors(
    status: int, kind: str | None, code: str | None, expected: type[UpstreamError]
) -> None:
    body = json.dumps({"error": {"message": "sorry", "type": kind, "code": code, "param": None}}).encode()
    response = CannedResponse(body, status=status, headers=(("content-type", "application/json"),))
    with pytest.raises(UpstreamError) as refused:
        await run(CannedClient(response), [])
    assert type(refused.value) is expected
    assert refused.value.upstream_status == status
    # A refused key's body may quote the key, and is nothing the client could act on.
    assert refused.value.body == (None if expected is UpstreamAuthentication else body)
    assert refused.value.provider == "subject"
    assert response.closed


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b"null", b'{"error":"text"}', b"\xff"]
)
async def test_an_error_body_of_any_shape_leaves_the_status_to_speak(body: bytes) -> None:
    with pytest.raises(UpstreamServerError) as refused:
        await run(CannedClient(CannedResponse(body, status=502, headers=())), [])
    assert refused.value.body == body


async def test_the_transports_own_errors_get_the_providers_name() -> None:
    with pytest.raises(UpstreamTimeout) as refused:
        await run(CannedClient(UpstreamTimeout("no answer within 60 s")), [])
    assert refused.value.provider == "subject"


@pytest.mark.parametrize("piece", [b"data: {nonsense\n\n", b'data: {"choices": 7}\n\n', b"data: []\n\n"])
async def test_a_stream_that_breaks_its_dialect_says_so_and_is_closed(piece: bytes) -> None:
    response = CannedResponse(sse(chunk({"content": "x"})), piece, DONE)
    events: list[GenerationEvent] = []
    with pytest.raises(RemoteWireError) as refused:
        await run(CannedClient(response), events)
    assert refused.value.provider == "subject"
    assert not any(isinstance(event, GenerationStopped) for event in events)
    assert response.closed


async def test_an_error_within_the_stream_comes_after_what_came_before_it_in_any_chunking() -> None:
    error = {"error": {"message": "overloaded", "type": "server_error", "code": None}}
    pieces = [sse(chunk({"content": "x"})), sse(error), DONE]
    for response in (CannedResponse(*pieces), CannedResponse(b"".join(pieces))):
        events: list[GenerationEvent] = []
        with pytest.raises(UpstreamServerError):
            await run(CannedClient(response), events)
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["x"]
        assert not any(isinstance(event, GenerationStopped) for event in events)


async def test_what_follows_the_last_event_is_read_so_that_the_connection_can_be_kept() -> None:
    response = CannedResponse(STREAMS["text"], b": bye\n\n", b"data: {late nonsense\n\n")
    events: list[GenerationEvent] = []
    await run(CannedClient(response), events)
    assert isinstance(events[-1], GenerationStopped)
    assert response.read_to_end


async def test_a_connection_lost_after_the_last_event_changes_nothing() -> None:
    events: list[GenerationEvent] = []
    await run(CannedClient(CannedResponse(STREAMS["text"], cut=True)), events)
    assert isinstance(events[-1], GenerationStopped)


async def test_a_given_client_is_used_and_left_open() -> None:
    client = CannedClient(CannedResponse(STREAMS["text"]))
    await run(client, [])
    (request,) = client.requests
    assert request.url == "https://api.example.com/v1/chat/completions"
    assert not client.closed
