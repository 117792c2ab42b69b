"""The OpenAI handler against a real upstream on the loopback interface."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest

from callboard.domain.delta import GenerationEvent, TextDelta
from callboard.domain.fold import fold
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, user_text
from callboard.domain.usage import Usage
from callboard.errors import (
    ConfigurationError,
    Failure,
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamUnreachable,
)
from callboard.providers.handler import ProviderCall, ProviderHandler, RelayHandler
from callboard.providers.openai import OpenAIHandler
from callboard.providers.settings import ProviderSettings
from callboard.secret import Secret
from tests.contracts.provider import (
    AnswerContract,
    ConversionContract,
    FailingHarness,
    FailureContract,
    Harness,
)
from tests.fakes.openai_traffic import (
    PROMPT_TOKENS,
    Answer,
    Gate,
    Json,
    Part,
    chat,
    chat_stream,
    chunk,
    completion,
    failure,
    json_answer,
    sse,
)
from tests.fakes.upstream import Exchange, FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio


def settings(base_url: str = "http://127.0.0.1:1/v1", **more: object) -> ProviderSettings:
    values: dict[str, object] = {"name": "subject", "kind": "openai", "base_url": base_url, **more}
    return ProviderSettings(**values)  # type: ignore[arg-type]  # keyword arguments passed through


def call(text: str = "Hi", *, stream: bool = True) -> ProviderCall:
    request = GenerationRequest(model="any", messages=(user_text(text),))
    return ProviderCall(request=request, upstream_name="fake-1", stream=stream)


async def answered(handler: OpenAIHandler, *, stream: bool = True) -> list[GenerationEvent]:
    async with handler.call_api(call(stream=stream)) as answer:
        return [event async for event in answer]


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[OpenAIHandler, FakeUpstream]]:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream:
            handler = OpenAIHandler(settings(upstream.base_url, api_key=Secret("sk-test")))
            async with handler.initialize_client():
                yield handler, upstream


def tool_call(name: str, arguments: str) -> Json:
    return {"id": "call_x", "type": "function", "function": {"name": name, "arguments": arguments}}


class OpenAIHarness:
    """A real upstream that answers streamed or unary, as it is asked."""

    model = "fake-1"

    def __init__(self, upstream: FakeUpstream, handler: OpenAIHandler) -> None:
        self.handler = handler
        self._upstream = upstream
        self._held: list[int] = []

    def _answer(self, streamed: Answer, unary: Answer) -> None:
        def answer(exchange: Exchange) -> Answer:
            return streamed if exchange.json().get("stream") else unary

        self._upstream.fallback = answer

    def say(self, *texts: str) -> None:
        headers = (("x-request-id", "req_1"),)
        unary = json_answer({**completion("".join(texts)), "usage": usage_of(len(texts))})
        self._answer(chat_stream(*texts, headers=headers), unary)

    def hold_after(self, text: str) -> None:
        self._held.append(len(self._upstream.exchanges))
        self._answer(chat_stream(text, Gate()), chat(text))

    async def left(self) -> None:
        for index in self._held:
            await (await self._upstream.exchange(index)).peer_left.wait()

    def call_tool(self, name: str, arguments: str) -> None:
        called = tool_call(name, arguments)
        deltas = [{"role": "assistant", "content": None, "tool_calls": [{"index": 0, **called}]}, {}]
        chunks = [chunk(deltas[0]), chunk(deltas[1], finish_reason="tool_calls")]
        document = completion(None, finish_reason="tool_calls", tool_calls=[called])
        self._answer(stream_of(*chunks), json_answer(document))

    def fail(self, status: int, *, retry_after_s: int | None = None) -> None:
        retry_after = None if retry_after_s is None else str(retry_after_s)
        self._answer(failure(status, retry_after=retry_after), failure(status, retry_after=retry_after))

    def cut_after(self, text: str) -> None:
        whole = chat_stream(text)
        sizes = [len(part.data) for part in whole.parts if isinstance(part, Part)]
        self._answer(chat_stream(text, cut_after=sum(sizes[:2]), ending="fin"), chat(text))


def usage_of(tokens: int) -> Json:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
    }


def stream_of(*chunks: Json, done: bool = True) -> Answer:
    parts = [Part(sse(each)) for each in chunks]
    if done:
        parts.append(Part(b"data: [DONE]\n\n"))
    return Answer(headers=(("content-type", "text/event-stream"),), parts=tuple(parts))


@asynccontextmanager
async def open_harness() -> AsyncIterator[OpenAIHarness]:
    async with opened() as (handler, upstream):
        yield OpenAIHarness(upstream, handler)


class TestConversions(ConversionContract):
    def handler(self) -> ProviderHandler:
        return OpenAIHandler(settings())


class TestAnswers(AnswerContract):
    def harness(self) -> AbstractAsyncContextManager[Harness]:
        return open_harness()


class TestFailures(FailureContract):
    def failing_harness(self) -> AbstractAsyncContextManager[FailingHarness]:
        return open_harness()


async def test_ten_calls_use_one_connection() -> None:
    async with opened() as (handler, upstream):
        for number in range(10):
            await answered(handler, stream=number % 2 == 0)
        assert len(upstream.exchanges) == 10
        assert upstream.connections == 1


async def test_the_key_and_the_model_go_to_the_configured_url() -> None:
    async with opened() as (handler, upstream):
        await answered(handler)
        exchange = await upstream.exchange(0)
        assert (exchange.method, exchange.target) == ("POST", "/v1/chat/completions")
        assert exchange.header("authorization") == "Bearer sk-test"
        assert exchange.header("content-type") == "application/json"
        assert exchange.json()["model"] == "fake-1"
        assert exchange.json()["stream"] is True


async def test_a_redirect_is_an_error_and_the_key_does_not_follow_it() -> None:
    async with opened() as (handler, upstream), serve_upstream() as elsewhere:
        location = ("location", f"{elsewhere.base_url}/chat/completions")
        upstream.queue(json_answer({}, status=307, headers=(location,)))
        with pytest.raises(UpstreamError) as refused:
            await answered(handler)
        assert refused.value.upstream_status == 307
        assert elsewhere.connections == 0


async def test_without_a_key_none_is_sent_and_configured_headers_are() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream:
            handler = OpenAIHandler(settings(upstream.base_url + "/", headers={"X-Team": Secret("blue")}))
            async with handler.initialize_client():
                await answered(handler)
            exchange = await upstream.exchange(0)
            assert exchange.target == "/v1/chat/completions"
            assert exchange.header("authorization") is None
            assert exchange.header("x-team") == "blue"


async def test_request_id_and_rate_limits_are_on_the_answer() -> None:
    async with opened() as (handler, upstream):
        headers = (("x-request-id", "req_7"), ("x-ratelimit-remaining-tokens", "41"))
        upstream.queue(chat_stream("Hi", headers=headers))
        async with handler.call_api(call()) as answer:
            assert answer.upstream_request_id == "req_7"
            assert answer.rate_limits.remaining_tokens == 41


async def test_deltas_arrive_as_they_are_sent() -> None:
    async with opened() as (handler, upstream):
        gate = Gate()
        upstream.queue(chat_stream("Hello", gate, " you"))
        seen = []
        async with handler.call_api(call()) as answer:
            async for event in answer:
                if isinstance(event, TextDelta):
                    seen.append(event.text)
                    if event.text == "Hello":
                        await gate.reached.wait()
                        gate.opened.set()
        assert seen == ["Hello", " you"]


async def test_usage_is_what_the_upstream_billed() -> None:
    async with opened() as (handler, upstream):
        for stream in (True, False):
            upstream.queue(chat_stream("a", "b", "c") if stream else chat("a b c"))
            generation = fold(await answered(handler, stream=stream))
            assert generation.usage == Usage(input_tokens=PROMPT_TOKENS, output_tokens=3)
        assert upstream.bill == (2 * PROMPT_TOKENS, 6)


async def test_an_upstream_that_ignores_the_wish_for_a_stream_is_understood() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(chat("whole"))
        assert text_of(fold(await answered(handler, stream=True)).content) == "whole"


async def test_a_document_too_large_to_be_decoded_is_refused_and_can_still_be_passed_on() -> None:
    large = "x" * (8 << 20)
    async with opened() as (handler, upstream):
        upstream.queue(chat(large), chat(large), chat(large[:-1000]))
        with pytest.raises(RemoteWireError, match="document of more than 8388608 bytes"):
            await answered(handler, stream=False)
        async with await handler.relay(b"{}", stream=False) as response:
            assert len(await response.read()) > len(large)
        assert len(text_of(fold(await answered(handler, stream=False)).content)) == len(large) - 1000


async def test_an_upstream_that_never_ends_its_framing_still_gives_a_complete_answer() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(chat_stream("Hello", ending="stall"), chat_stream("again"))
        assert text_of(fold(await answered(handler)).content) == "Hello"
        assert text_of(fold(await answered(handler)).content) == "again"


@pytest.mark.parametrize("ending", ["fin", "rst"])
async def test_a_connection_lost_after_the_status_is_an_incomplete_answer(ending: str) -> None:
    async with opened() as (handler, upstream):
        upstream.queue(Answer(chunked=True, cut_after=0, ending="fin" if ending == "fin" else "rst"))
        with pytest.raises(StreamIncomplete):
            await answered(handler)


async def test_cuts_at_many_offsets_are_never_complete() -> None:
    whole = chat_stream("Hello", " \u2028 you", " 👋🏽")
    needed = b"".join(part.data for part in whole.parts if isinstance(part, Part)).index(
        b'"finish_reason": "stop"'
    )
    offsets = range(0, needed, max(needed // 40, 1))
    async with opened() as (handler, upstream):
        for number, offset in enumerate(offsets):
            ending = "fin" if number % 2 else "rst"
            upstream.queue(Answer(whole.status, whole.headers, whole.parts, cut_after=offset, ending=ending))  # type: ignore[arg-type]  # a literal
            with pytest.raises(StreamIncomplete):
                await answered(handler)
        assert len(upstream.exchanges) == len(offsets)


async def test_an_error_keeps_its_body_for_dialects_that_pass_it_on() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(failure(400, message="bad temperature", kind="invalid_request_error", code="nope"))
        with pytest.raises(UpstreamError) as refused:
            await answered(handler)
        assert refused.value.body is not None
        assert json.loads(refused.value.body)["error"]["message"] == "bad temperature"
        assert refused.value.upstream_code == "nope"
        assert "sk-test" not in repr(refused.value)


async def test_an_endless_error_body_is_read_only_so_far() -> None:
    async with opened() as (handler, upstream):
        parts = tuple(Part(b"x" * 60_000) for _ in range(3))
        upstream.queue(Answer(status=500, parts=parts, ending="stall"))
        with pytest.raises(UpstreamError) as refused:
            await answered(handler)
        assert refused.value.body is not None
        assert len(refused.value.body) <= 64 * 1024


async def test_an_error_whose_body_is_cut_keeps_its_status() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(Answer(status=503, parts=(Part(b"{" * 100),), cut_after=10, ending="fin"))
        with pytest.raises(UpstreamError) as refused:
            await answered(handler)
        assert refused.value.upstream_status == 503


async def test_an_upstream_that_is_not_there_is_unreachable() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream:
            base_url = upstream.base_url
        handler = OpenAIHandler(settings(base_url))
        async with handler.initialize_client():
            with pytest.raises(UpstreamUnreachable) as refused:
                await answered(handler)
        assert refused.value.provider == "subject"


async def test_a_relayed_body_goes_and_comes_back_byte_for_byte() -> None:
    async with opened() as (handler, upstream):
        assert isinstance(handler, RelayHandler)
        assert handler.dialect == "openai_chat"
        document = {"model": "m", "odd": ["\u2028"], "messages": []}
        body = json.dumps(document, indent=3).encode()
        answer = chat("Hi")
        upstream.queue(answer)
        async with await handler.relay(body, stream=False) as response:
            received = await response.read()
        assert received == b"".join(part.data for part in answer.parts if isinstance(part, Part))
        assert (await upstream.exchange(0)).body == body


async def test_a_relayed_call_that_fails_raises_with_the_body() -> None:
    async with opened() as (handler, upstream):
        upstream.queue(failure(429, retry_after="3"))
        with pytest.raises(UpstreamError) as refused:
            await handler.relay(b"{}", stream=True)
        assert refused.value.retry_after_s == 3
        assert refused.value.body


async def test_a_call_without_an_open_client_is_a_bug() -> None:
    handler = OpenAIHandler(settings())
    with pytest.raises(Failure, match="outside of initialize_client"):
        await answered(handler)


async def test_leaving_the_client_closes_its_connections() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream:
            handler = OpenAIHandler(settings(upstream.base_url))
            async with handler.initialize_client():
                await answered(handler)
                assert upstream.open_connections == 1
            await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize(
    "more, message",
    [
        pytest.param({"base_url": "api.example.com/v1"}, "base_url", id="no scheme"),
        pytest.param({"base_url": "ftp://example.com"}, "base_url", id="another scheme"),
        pytest.param({"options": {"temprature": 1}}, "temprature", id="unknown option"),
        pytest.param(
            {"api_key": Secret("sk"), "headers": {"Authorization": Secret("x")}}, "not both", id="two keys"
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match="provider 'subject': ") as refused:
        OpenAIHandler(settings(**{"base_url": "https://api.example.com", **more}))  # type: ignore[arg-type]  # passed through
    assert message in str(refused.value)
