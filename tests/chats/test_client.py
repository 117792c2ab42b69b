"""ResponsesAPIClient: what it sends, when it tries again, and what it raises; over real sockets."""

from __future__ import annotations

import anyio
import pytest

from callboard import errors
from callboard.chats import ChatMessage, ResponsesAPIClient, StreamEventProcessor
from callboard.chats.client import takes_effort
from tests.chats.world import NOW, Waits, client_of
from tests.fakes.openai_traffic import Gate, Json, failure, json_answer
from tests.fakes.responses_traffic import answers, events_of, message, response, stream_of
from tests.fakes.upstream import serve_upstream

pytestmark = pytest.mark.anyio


async def text_of(client: ResponsesAPIClient, asked: str = "hi", *, stream: bool = True) -> str:
    processor = StreamEventProcessor()
    with anyio.fail_after(5):
        async with client.create_response(asked, stream=stream) as events:
            async for event in events:
                processor.feed(event)
    assert processor.answered
    return processor.text


async def test_the_first_turn_is_asked_for_with_these_fields_and_no_others() -> None:
    async with serve_upstream() as upstream, client_of(upstream.base_url, instructions="Be brief.") as client:
        upstream.queue(stream_of(*events_of(message("Hello"))))
        async with client.create_response("hi", username="ada") as events:
            assert [event.type async for event in events][-1] == "response.completed"
        asked = await upstream.exchange(0)
        assert asked.target == "/v1/responses"
        assert asked.json() == {
            "model": "o1-mini",
            "input": "hi",
            "stream": True,
            "store": True,
            "instructions": "Be brief.",
            "user": "ada",
        }


async def test_a_later_turn_names_the_one_before_and_a_conversation_goes_as_its_messages() -> None:
    said = [
        ChatMessage(role="user", text="a", timestamp=NOW),
        ChatMessage(role="assistant", text="b", timestamp=NOW),
    ]
    async with serve_upstream() as upstream, client_of(upstream.base_url, model="o4-mini") as client:
        upstream.queue(*answers(message("x")))
        async with client.create_response("hi", "resp_1"):
            pass
        async with client.create_response(said, stream=False):
            pass
        first, second = (await upstream.exchange(0)).json(), (await upstream.exchange(1)).json()
    assert (first["model"], first["previous_response_id"]) == ("o4-mini", "resp_1")
    assert first["reasoning"] == {"effort": "high"}
    assert second["input"] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert (second["truncation"], second["stream"]) == ("auto", False)
    assert "previous_response_id" not in second


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_the_same_streamed_and_not(stream: bool) -> None:
    async with serve_upstream() as upstream, client_of(upstream.base_url) as client:
        upstream.queue(answers(message("Hello you"))[0 if stream else 1])
        assert await text_of(client, stream=stream) == "Hello you"


@pytest.mark.parametrize(
    "model, told",
    [("o3-mini", True), ("o4-mini", True), ("gpt-5.4", True), ("gpt-4o", False), ("o1-mini", False)],
)
def test_an_effort_is_said_to_models_that_take_one(model: str, told: bool) -> None:
    assert takes_effort(model) is told


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_before_the_first_byte_it_is_tried_again_ever_more_slowly(status: int) -> None:
    waits = Waits()
    async with serve_upstream() as upstream, client_of(upstream.base_url, waits=waits) as client:
        upstream.queue(failure(status), failure(status), stream_of(*events_of(message("at last"))))
        assert await text_of(client) == "at last"
    assert len(waits.asked) == 2


async def test_the_back_off_doubles_and_never_undercuts_what_the_server_asked_for() -> None:
    waits = Waits()
    async with serve_upstream() as upstream:
        limited = failure(429, retry_after="7")
        upstream.queue(limited, limited, stream_of(*events_of(message("x"))))
        async with client_of(upstream.base_url, waits=waits) as client:
            client._jitter = lambda: 1.0
            await text_of(client)
    assert waits.asked == [7.5, 8.0]


@pytest.mark.parametrize(
    "status, code, kind",
    [
        (429, None, errors.UpstreamRateLimited),
        (429, "insufficient_quota", errors.UpstreamQuota),
        (400, None, errors.UpstreamInvalid),
        (401, None, errors.UpstreamAuthentication),
        (403, None, errors.UpstreamPermission),
        (404, "model_not_found", errors.UpstreamNotFound),
        (500, None, errors.UpstreamServerError),
        (503, None, errors.UpstreamOverloaded),
    ],
)
async def test_what_fails_for_good_is_raised(
    status: int, code: str | None, kind: type[errors.UpstreamError]
) -> None:
    waits = Waits()
    async with serve_upstream() as upstream, client_of(upstream.base_url, waits=waits) as client:
        upstream.queue(*[failure(status, code=code)] * 3)
        with anyio.fail_after(5), pytest.raises(kind):
            async with client.create_response("hi"):
                pass
        assert len(upstream.exchanges) == (3 if kind.retryable else 1)
        assert len(waits.asked) == len(upstream.exchanges) - 1


async def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    waits = Waits()
    async with serve_upstream() as upstream, client_of(upstream.base_url, waits=waits) as client:
        upstream.queue(failure(429, retry_after="3600"))
        with pytest.raises(errors.UpstreamRateLimited):
            async with client.create_response("hi"):
                pass
    assert waits.asked == []


async def test_nobody_there_is_tried_again_and_then_raised() -> None:
    waits = Waits()
    async with client_of("http://127.0.0.1:1/v1", waits=waits) as client:
        with anyio.fail_after(5), pytest.raises(errors.UpstreamUnreachable):
            async with client.create_response("hi"):
                pass
    assert len(waits.asked) == 2


async def test_after_the_first_byte_nothing_is_tried_again() -> None:
    waits = Waits()
    cut = stream_of(*events_of(message("one two three")), cut_after=900, ending="rst")
    async with serve_upstream() as upstream, client_of(upstream.base_url, waits=waits) as client:
        upstream.queue(cut)
        with anyio.fail_after(5), pytest.raises(errors.StreamIncomplete):
            async with client.create_response("hi") as events:
                async for _ in events:
                    pass
        assert (len(upstream.exchanges), waits.asked) == (1, [])


async def test_what_is_no_event_is_the_servers_fault() -> None:
    async with serve_upstream() as upstream, client_of(upstream.base_url) as client:
        broken: Json = {"type": "response.output_text.delta", "delta": 7}
        upstream.queue(stream_of(broken), json_answer([1]))
        for stream in (True, False):
            with pytest.raises(errors.RemoteWireError):
                async with client.create_response("hi", stream=stream) as events:
                    async for _ in events:
                        pass


async def test_leaving_early_ends_the_answer_upstream() -> None:
    gate = Gate()
    async with serve_upstream() as upstream, client_of(upstream.base_url) as client:
        events_told = events_of(message("one two"))
        upstream.queue(stream_of(*events_told[:5], gate, *events_told[5:]))
        with anyio.fail_after(5):
            async with client.create_response("hi") as events:
                await anext(events)
            await (await upstream.exchange(0)).peer_left.wait()


async def test_a_title_is_a_small_call_of_its_own() -> None:
    async with serve_upstream() as upstream, client_of(upstream.base_url) as client:
        upstream.queue(json_answer(response(message('"A  fine\ntitle"'))))
        assert await client.generate_conversation_title("x" * 600) == "A fine title"
        asked = (await upstream.exchange(0)).json()
        assert (asked["model"], asked["stream"], asked["store"]) == ("o3-mini", False, False)
        assert asked["reasoning"] == {"effort": "low"}
        assert str(asked["input"]).count("x") == 500
        upstream.queue(failure(400))
        assert await client.generate_conversation_title("hi") is None


async def test_the_key_goes_with_the_request_and_into_no_error() -> None:
    canary = "sk-canary-0123456789"
    async with serve_upstream() as upstream, client_of(upstream.base_url, api_key=canary) as client:
        upstream.queue(failure(401, message=f"wrong key {canary}"))
        with pytest.raises(errors.UpstreamAuthentication) as raised:
            async with client.create_response("hi"):
                pass
        assert (await upstream.exchange(0)).header("authorization") == f"Bearer {canary}"
    assert canary not in f"{raised.value!r} {raised.value.body!r} {client._settings!r}"
