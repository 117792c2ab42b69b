"""The Responses handler against a real upstream on the loopback interface, and over canned bytes."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import anyio
import pytest

from callboard.domain.block import TextBlock
from callboard.domain.delta import GenerationEvent, GenerationStopped, TextDelta
from callboard.domain.fold import events_of as taken_apart
from callboard.domain.fold import fold
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import Message, text_of, user_text
from callboard.domain.tools import ToolOutcome
from callboard.domain.usage import Usage
from callboard.errors import StreamIncomplete, UpstreamError, UpstreamInvalid, UpstreamRateLimited
from callboard.providers.handler import ProviderCall, ProviderHandler, RelayHandler
from callboard.providers.openai_responses import OpenAIResponsesHandler
from callboard.providers.settings import ProviderSettings
from callboard.secret import Secret
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from tests.contracts.provider import (
    AnswerContract,
    ConversionContract,
    FailingHarness,
    FailureContract,
    Harness,
)
from tests.fakes.canned_http import CannedClient, CannedResponse
from tests.fakes.openai_traffic import Answer, Gate, Json, failure, json_answer
from tests.fakes.responses_traffic import (
    INPUT_TOKENS,
    answers,
    events_of,
    function_call,
    message,
    reasoning,
    response,
    sse,
    stream_of,
)
from tests.fakes.upstream import Exchange, FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio

TEXTS = ["Hi", " \u2028 \u0085 ", "👋🏽", "data: [DONE]\n\n"]
OUTPUT = (reasoning("why", "how"), message("".join(TEXTS)), function_call("f", '{"a": 1}'))


def settings(base_url: str = "https://api.example.com/v1") -> ProviderSettings:
    return ProviderSettings(
        name="subject",
        kind="openai",
        base_url=base_url,
        api_key=Secret("sk-test"),
        options={"api": "responses"},
    )


def call(text: str = "Hi", *, stream: bool = True, **more: object) -> ProviderCall:
    fields: dict[str, object] = {"model": "any", "messages": (user_text(text),), **more}
    request = GenerationRequest(**fields)  # type: ignore[arg-type]  # keyword arguments passed through
    return ProviderCall(request=request, upstream_name="fake-1", stream=stream)


async def answered(
    handler: OpenAIResponsesHandler, asked: ProviderCall | None = None
) -> list[GenerationEvent]:
    async with handler.call_api(asked or call()) as answer:
        return [event async for event in answer]


def echo(exchange: Exchange) -> Answer:
    """``echo: <the user's text>``."""
    document = exchange.json()["input"]
    assert isinstance(document, list)
    return answers(message(f"echo: {document[-1]['content']}"))[0]


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[OpenAIResponsesHandler, FakeUpstream]]:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream:
            upstream.fallback = echo
            handler = OpenAIResponsesHandler(settings(upstream.base_url))
            async with handler.initialize_client():
                yield handler, upstream


class ResponsesHarness:
    """A real upstream that answers streamed or unary, as it is asked."""

    model = "fake-1"

    def __init__(self, upstream: FakeUpstream, handler: OpenAIResponsesHandler) -> None:
        self.handler = handler
        self._upstream = upstream
        self._held: list[int] = []

    def _answer(self, streamed: Answer, unary: Answer) -> None:
        def answer(exchange: Exchange) -> Answer:
            return streamed if exchange.json().get("stream") else unary

        self._upstream.fallback = answer

    def say(self, *texts: str) -> None:
        self._answer(*answers(message("".join(texts)), headers=(("x-request-id", "req_1"),)))

    def hold_after(self, text: str) -> None:
        self._held.append(len(self._upstream.exchanges))
        told = events_of(message(text))
        self._answer(stream_of(*told[:-3], Gate()), json_answer(response(message(text))))

    async def left(self) -> None:
        for index in self._held:
            await (await self._upstream.exchange(index)).peer_left.wait()

    def call_tool(self, name: str, arguments: str) -> None:
        self._answer(*answers(function_call(name, arguments)))

    def fail(self, status: int, *, retry_after_s: int | None = None) -> None:
        answer = failure(status, retry_after=None if retry_after_s is None else str(retry_after_s))
        self._answer(answer, answer)

    def cut_after(self, text: str) -> None:
        told = events_of(message(text))
        size = sum(len(sse(event)) for event in told[:-1])
        self._answer(stream_of(*told, cut_after=size, ending="fin"), json_answer(response(message(text))))


@asynccontextmanager
async def open_harness() -> AsyncIterator[ResponsesHarness]:
    async with opened() as (handler, upstream):
        yield ResponsesHarness(upstream, handler)


class TestConversions(ConversionContract):
    def handler(self) -> ProviderHandler:
        return OpenAIResponsesHandler(settings())


class TestAnswers(AnswerContract):
    def harness(self) -> AbstractAsyncContextManager[Harness]:
        return open_harness()


class TestFailures(FailureContract):
    def failing_harness(self) -> AbstractAsyncContextManager[FailingHarness]:
        return open_harness()


async def test_the_key_and_the_model_go_to_the_configured_url() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(answers(message("Hi"))[0])
        await answered(handler)
        exchange = await upstream.exchange(0)
        assert (exchange.method, exchange.target) == ("POST", "/v1/responses")
        assert exchange.header("authorization") == "Bearer sk-test"
        assert exchange.header("accept") == "text/event-stream"
        hello = {"type": "message", "role": "user", "content": "Hi"}
        assert exchange.json() == {"model": "fake-1", "input": [hello], "store": False, "stream": True}


async def test_request_id_and_rate_limits_are_on_the_answer() -> None:
    async with opened() as (handler, upstream):
        headers = (("x-request-id", "req_7"), ("x-ratelimit-remaining-tokens", "41"))
        upstream.queue(answers(message("Hi"), headers=headers)[0])
        async with handler.call_api(call()) as answer:
            assert answer.upstream_request_id == "req_7"
            assert answer.rate_limits.remaining_tokens == 41


async def test_deltas_arrive_as_they_are_sent() -> None:
    async with opened() as (handler, upstream):
        gate = Gate()
        told: list[Json | Gate] = [*events_of(message("Hi you"), pieces=3)]
        told.insert(5, gate)
        upstream.queue(stream_of(*told))
        seen = []
        async with handler.call_api(call()) as answer:
            async for event in answer:
                if isinstance(event, TextDelta):
                    seen.append(event.text)
                    gate.opened.set()
        assert seen == ["Hi ", "you"]


async def test_an_upstream_that_ignores_the_wish_for_a_stream_is_understood() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(answers(message("whole"))[1])
        assert text_of(fold(await answered(handler)).content) == "whole"


async def test_an_upstream_that_never_ends_its_framing_still_gives_a_complete_answer() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(stream_of(*events_of(message("Hello")), ending="stall"))
        generation = fold(await answered(handler))
        assert text_of(generation.content) == "Hello"
        assert generation.usage == Usage(input_tokens=INPUT_TOKENS, output_tokens=3)


async def test_reasoning_goes_back_to_the_upstream_it_came_from() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(answers(*OUTPUT)[0], answers(message("done"))[0])
        asked = call(reasoning_effort="low")
        first = fold(await answered(handler, asked))
        assert (await upstream.exchange(0)).json()["include"] == ["reasoning.encrypted_content"]
        result = handler.make_tool_result("call_x", ToolOutcome(content=(TextBlock(text="2"),)))
        told = (
            *asked.request.messages,
            Message(role="assistant", content=first.content),
            Message(role="user", content=(result,)),
        )
        await answered(handler, call(messages=told))
        thought, _, called = OUTPUT
        assert (await upstream.exchange(1)).json()["input"] == [
            {"type": "message", "role": "user", "content": "Hi"},
            {**thought, "summary": [{"type": "summary_text", "text": "why\n\nhow"}]},
            {"type": "message", "role": "assistant", "content": "".join(TEXTS)},
            {key: value for key, value in called.items() if key not in {"id", "status"}},
            {"type": "function_call_output", "call_id": "call_x", "output": "2"},
        ]


async def test_stop_sequences_are_refused_before_anything_is_sent() -> None:
    async with opened() as (handler, upstream):
        with pytest.raises(UpstreamInvalid):
            await answered(handler, call(stop=("END",)))
        assert upstream.exchanges == []


async def test_a_failure_within_the_stream_names_the_provider() -> None:
    async with opened() as (handler, upstream):
        failed = response(status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"})
        told = events_of(message("Hello"))[:-1]
        upstream.queue(stream_of(*told, {"type": "response.failed", "response": failed}))
        events: list[GenerationEvent] = []
        with pytest.raises(UpstreamRateLimited) as refused:
            async with handler.call_api(call()) as answer:
                async for event in answer:
                    events.append(event)  # noqa: PERF401 - kept when the loop raises
        assert refused.value.provider == "subject"
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello"


async def test_a_relayed_body_goes_and_comes_back_byte_for_byte() -> None:
    async with opened() as (handler, upstream):
        assert isinstance(handler, RelayHandler)
        assert handler.dialect == "openai_responses"
        upstream.queue(json_answer({"odd": ["\u2028"]}))
        body = json.dumps({"model": "m", "odd": ["\u2028"]}, indent=3).encode()
        async with await handler.relay(body, stream=False) as answer:
            assert json.loads(await answer.read()) == {"odd": ["\u2028"]}
        assert (await upstream.exchange(0)).body == body


def our_own() -> bytes:
    """What our own server streams."""
    generation = Generation(
        id="g",
        model="m",
        content=(TextBlock(text="".join(TEXTS)),),
        stop_reason="end_turn",
        usage=Usage(input_tokens=3, output_tokens=4),
    )
    encoder = ResponseEncoder(id="resp_1", created_at=7, echo=Echo(model="m"))
    return b"".join(encoder.feed(event) for event in taken_apart(generation)) + encoder.finish(9)


STREAMS = {
    "as OpenAI tells it": b": keep-alive\n\n"
    + b"".join(sse(event) for event in events_of(*OUTPUT[1:], pieces=40)),
    "as we tell it": our_own(),
    "CRLF and an event over two lines": b"".join(
        sse(event).replace(b',"response"', b',\ndata: "response"').replace(b"\n", b"\r\n")
        for event in events_of(message("Hi"))
    )
    + b"data: [DONE]\r\n\r\n",
}


def needed(stream: bytes) -> int:
    """Bytes without which the stream is not complete: up to the end of its last event but ``[DONE]``."""
    at = stream.rindex(b"response.completed")
    ends = [stream.find(end, at) + len(end) for end in (b"\n\n", b"\r\n\r\n") if stream.find(end, at) > 0]
    # Of the empty line that ends it, a CR alone is an end of line too.
    return min(ends) - stream.count(b"\r\n\r\n", at, min(ends))


async def run(client: CannedClient, events: list[GenerationEvent]) -> None:
    """One call; the events are kept even where it fails."""
    handler = OpenAIResponsesHandler(settings(), client=client)
    with anyio.fail_after(5):
        async with handler.initialize_client(), handler.call_api(call()) as answer:
            async for event in answer:
                events.append(event)  # noqa: PERF401 - kept when the loop raises


async def events_from(*pieces: bytes) -> list[GenerationEvent]:
    events: list[GenerationEvent] = []
    await run(CannedClient(CannedResponse(*pieces)), events)
    return events


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=False)
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_cut_at_any_byte_is_complete_or_incomplete_and_never_between(name: str) -> None:
    stream = STREAMS[name]
    boundary = needed(stream)
    for offset in range(len(stream) + 1):
        events: list[GenerationEvent] = []
        # A connection may be lost, or be closed as if nothing was the matter.
        canned = CannedResponse(*[stream[:offset]] * bool(offset), cut=offset % 2 == 0)
        complete = offset >= boundary
        with nullcontext() if complete else pytest.raises(StreamIncomplete):
            await run(CannedClient(canned), events)
        assert any(isinstance(event, GenerationStopped) for event in events) is complete
        assert canned.closed


@pytest.mark.parametrize("name", STREAMS)
async def test_chunking_does_not_change_the_events(name: str) -> None:
    stream = STREAMS[name]
    whole = await events_from(stream)
    assert isinstance(whole[-1], GenerationStopped)
    assert await events_from(*[stream[i : i + 1] for i in range(len(stream))]) == whole
    rng = random.Random(4)
    for _ in range(20):
        cuts = sorted(rng.sample(range(1, len(stream)), 12))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert await events_from(*pieces) == whole


async def test_text_comes_through_as_it_was_written() -> None:
    for name in ("as OpenAI tells it", "as we tell it"):
        generation = fold(await events_from(STREAMS[name]))
        assert text_of(generation.content) == "".join(TEXTS)


async def test_an_event_may_be_as_large_as_an_answer() -> None:
    text = "x" * (3 << 20)
    generation = fold(
        await events_from(sse({"type": "response.completed", "response": response(message(text))}))
    )
    assert text_of(generation.content) == text


async def test_an_error_keeps_its_body_for_dialects_that_pass_it_on() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(failure(400, message="bad temperature", kind="invalid_request_error", code="nope"))
        with pytest.raises(UpstreamError) as refused:
            await answered(handler)
        assert refused.value.body is not None
        assert json.loads(refused.value.body)["error"]["message"] == "bad temperature"
        assert "sk-test" not in repr(refused.value)
