"""The relay path: a real provider of the client's own dialect, and bytes that pass as they came."""

from __future__ import annotations

import json

import anyio
import pytest

from tests.fakes.openai_traffic import (
    PROMPT_TOKENS,
    Answer,
    Ending,
    Gate,
    Part,
    chat,
    chat_stream,
    chunk,
    completion,
    failure,
    sse,
    usage,
)
from tests.fakes.relayed import chat_body, relayed

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"
ASKS_USAGE = {"stream_options": {"include_usage": True}}
KEEP_ALIVE = b": keep-alive\n\n"

WORDS = (
    b": a comment of the upstream's\n\n"
    + sse(chunk({"role": "assistant", "content": ""}))
    + b'data:{"id":"x",  "choices":[{"index":0,"delta":{"content":"d\xc3\xa9j\xc3\xa0 \\"usage\\":{ vu"},'
    + b'"finish_reason":null}], "unknown":[1.50, 1e2]}\r\n\r\n'
    + sse(chunk({}, finish_reason="stop"))
)
USAGE = sse({**chunk({}), "choices": [], "usage": usage(3)})
DONE = b"data: [DONE]\n\n"


def in_pieces(data: bytes, size: int) -> Answer:
    """A streamed answer of these bytes, sent ``size`` at a time."""
    parts = tuple(Part(data[at : at + size]) for at in range(0, len(data), size))
    return Answer(headers=(("content-type", "text/event-stream"),), parts=parts)


def events_of(text: str) -> list[dict[str, object]]:
    """The JSON events of a stream, its end marker left out."""
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


async def test_an_unstreamed_answer_passes_byte_for_byte() -> None:
    odd = b'{ "choices":[],"odd" : 1.50,\n "usage":{"prompt_tokens":4,"completion_tokens":2,"x":"\xc3\xa9"}}'
    async with relayed() as over:
        over.upstream.queue(
            Answer(headers=(("content-type", "application/json"),), parts=(Part(odd),), chunked=False)
        )
        answer = await over.server.client.post(PATH, json=chat_body())
    assert answer.status_code == 200
    assert answer.content == odd
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@pytest.mark.parametrize("asks_usage", [False, True])
async def test_a_stream_passes_byte_for_byte_but_for_usage_nobody_asked_for(
    size: int, asks_usage: bool
) -> None:
    async with relayed() as over:
        over.upstream.queue(in_pieces(WORDS + USAGE + DONE, size))
        asked = chat_body(stream=True) | (ASKS_USAGE if asks_usage else {})
        answer = await over.server.client.post(PATH, json=asked)
        accounts = await over.settled()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == WORDS + (USAGE if asks_usage else b"") + DONE
    assert [(line.output_tokens, line.cost_basis) for line in accounts.recent] == [(3, "reported")]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstream_is_asked_under_its_own_name_and_for_the_usage(stream: bool) -> None:
    asked = chat_body("hello", stream=stream, unknown={"x": [1, None]}, temperature=0.5)
    async with relayed() as over:
        await over.server.client.post(PATH, json=asked)
        sent = (await over.upstream.exchange(0)).json()
    assert sent == {**asked, "model": "fake-1", **(ASKS_USAGE if stream else {})}


@pytest.mark.parametrize(
    "fails, status, kind",
    [
        (failure(400, message="bad field", kind="invalid_request_error"), 400, "invalid_request_error"),
        (failure(401, message="key sk-secret-1234"), 502, "server_error"),
        (failure(404, message="no such model"), 404, "invalid_request_error"),
        (failure(429, message="slow down", retry_after="120"), 429, "rate_limit_error"),
        (failure(500, message="broken", retry_after="120"), 502, "server_error"),
        (failure(503, message="busy", retry_after="120"), 503, "server_error"),
    ],
    ids=["400", "401", "404", "429", "500", "503"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstreams_refusal_is_told_truthfully_in_the_dialect(
    fails: Answer, status: int, kind: str, stream: bool
) -> None:
    async with relayed() as over:
        over.upstream.queue(fails)
        answer = await over.server.client.post(PATH, json=chat_body(stream=stream))
        accounts = await over.settled()
        assert len(over.upstream.exchanges) == 1
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["message"]
    assert "sk-secret" not in answer.text
    assert answer.headers.get("retry-after") == dict(fails.headers).get("retry-after")
    assert [(line.outcome, line.cost_basis) for line in accounts.recent] == [("failed", "estimated")]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_byte_is_tried_again(stream: bool) -> None:
    async with relayed() as over:
        over.upstream.queue(failure(503), chat_stream("fine") if stream else chat("fine"))
        answer = await over.server.client.post(PATH, json=chat_body(stream=stream))
        accounts = await over.settled()
        line = await over.closing_line()
    assert answer.status_code == 200
    assert "fine" in answer.text
    assert [(each.outcome, each.cost_basis) for each in accounts.recent] == [
        ("failed", "estimated"),
        ("completed", "reported"),
    ]
    assert line["attempts"] == "2"


@pytest.mark.parametrize("cut_after", [len(sse(chunk({"role": "assistant", "content": ""}))), 300, 420])
@pytest.mark.parametrize("ending", ["complete", "fin", "rst"])
async def test_a_stream_cut_in_the_middle_ends_with_an_error_and_no_end_marker(
    cut_after: int, ending: Ending
) -> None:
    whole = chat_stream("one", " two", " three")
    body = b"".join(part.data for part in whole.parts if isinstance(part, Part))
    async with relayed() as over:
        gate = Gate()
        over.upstream.queue(
            Answer(
                headers=whole.headers,
                # What comes before a RST must have been read, or the kernel throws it away.
                parts=(Part(body[:cut_after]), gate, Part(b"")),
                ending=ending,
            )
        )
        seen = b""
        async with over.server.client.stream("POST", PATH, json=chat_body(stream=True)) as answer:
            with anyio.fail_after(5):
                async for piece in answer.aiter_bytes():
                    seen += piece
                    if len(seen) >= cut_after:
                        gate.opened.set()
        accounts = await over.settled()
        assert len(over.upstream.exchanges) == 1
    assert answer.status_code == 200
    assert seen.startswith(body[:cut_after])
    rest = seen[cut_after:]
    assert rest.startswith(b"data: " if body[:cut_after].endswith(b"\n\n") else b"\n\ndata: ")
    assert events_of(rest.decode())[0]["error"]
    assert b"[DONE]" not in seen
    assert [(line.outcome, line.cost_basis) for line in accounts.recent] == [("truncated", "estimated")]


async def test_keep_alive_comments_come_between_events_only() -> None:
    half = WORDS[: WORDS.index(b"unknown") + 4]
    within, between = Gate(), Gate()
    config = {"server": {"heartbeat_seconds": 0.02}}
    bodies = {"within": b"", "between": b""}
    async with relayed(config=config) as over, anyio.create_task_group() as tasks:
        over.upstream.queue(
            Answer(parts=(Part(half), within, Part(WORDS[len(half) :] + DONE))),
            Answer(parts=(Part(WORDS), between, Part(DONE))),
        )

        async def read(name: str) -> None:
            async with over.server.client.stream("POST", PATH, json=chat_body(name, stream=True)) as answer:
                async for piece in answer.aiter_bytes():
                    bodies[name] += piece
                    if bodies["between"].count(KEEP_ALIVE) >= 4:
                        # The other stream has had as many occasions for a comment as this one.
                        within.opened.set()
                        between.opened.set()

        with anyio.fail_after(5):
            tasks.start_soon(read, "within")
            await within.reached.wait()
            tasks.start_soon(read, "between")
            while not between.opened.is_set():
                await anyio.lowlevel.checkpoint()
            while over.server.admission.in_work:
                await anyio.lowlevel.checkpoint()
    assert bodies["within"] == WORDS + DONE
    assert bodies["between"].startswith(WORDS + KEEP_ALIVE)
    assert bodies["between"].replace(KEEP_ALIVE, b"") == WORDS + DONE


@pytest.mark.parametrize("stream", [False, True])
async def test_the_closing_line_says_who_answered_and_what_was_used(stream: bool) -> None:
    async with relayed() as over:
        over.upstream.queue(chat_stream("one", " two") if stream else chat("one two"))
        await over.server.client.post(PATH, json=chat_body(stream=stream))
        line = await over.closing_line()
        accounts = await over.settled()
        assert over.upstream.bill == (PROMPT_TOKENS, 2)
    told = [line[name] for name in ("provider", "model", "status", "attempts", "tokens_in", "tokens_out")]
    assert told == ["up", "demo-model", "200", "1", str(PROMPT_TOKENS), "2"]
    # A million input tokens cost a dollar, a million output tokens two.
    assert float(line["cost_usd"]) == pytest.approx((PROMPT_TOKENS + 2 * 2) / 1e6)
    (entry,) = accounts.recent
    assert (entry.outcome, entry.prompt_basis, entry.output_basis) == ("completed", "reported", "reported")
    assert (entry.input_tokens, entry.output_tokens) == (PROMPT_TOKENS, 2)


async def test_an_answer_without_usage_is_estimated() -> None:
    document = {name: value for name, value in completion("one two").items() if name != "usage"}
    async with relayed() as over:
        over.upstream.queue(Answer(parts=(Part(json.dumps(document).encode()),), chunked=False))
        answer = await over.server.client.post(PATH, json=chat_body())
        accounts = await over.settled()
    assert answer.json() == document
    (entry,) = accounts.recent
    assert (entry.outcome, entry.cost_basis) == ("completed", "estimated")
    assert entry.input_tokens > 0
    assert entry.output_tokens > 0
