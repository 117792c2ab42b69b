"""Events into chunks, as OpenAI sends them."""

import json

import pytest
from hypothesis import given
from msgspec import Raw
from openai.types.chat import ChatCompletionChunk

from callboard.domain.arguments import tool_use
from callboard.domain.block import OpaqueBlock, RedactedThinkingBlock, TextBlock, ThinkingBlock
from callboard.domain.delta import BlockStarted, BlockStopped, GenerationStarted, SignatureDelta
from callboard.domain.fold import LOGPROBS, events_of, fold
from callboard.domain.generation import Generation
from callboard.domain.usage import Usage
from callboard.wire.openai_chat.encoder import ChunkEncoder
from callboard.wire.openai_chat.response import decode_response, encode_response
from callboard.wire.openai_chat.stream import ChunkDecoder
from callboard.wire.sse import SseDecoder
from tests.domain.conversations import generations

CALLED = Generation(
    id="g",
    model="up",
    content=(TextBlock(text="hi\r\n\u2028"), tool_use("c", "f", '{"a":1}'), tool_use("d", "g", "{}")),
    stop_reason="tool_use",
    usage=Usage(input_tokens=3, output_tokens=4),
    extra=None,
)


def streamed(answer: Generation, *, include_usage: bool) -> list[bytes]:
    """The data of the events that tell of ``answer``."""
    encoder = ChunkEncoder(id="chatcmpl-1", model="m", created=7, include_usage=include_usage)
    stream = b"".join(encoder.feed(event) for event in events_of(answer))
    return [event.data for event in SseDecoder().feed(stream)]


def test_a_stream_is_told_as_openai_tells_it() -> None:
    *chunks, done = streamed(CALLED, include_usage=True)
    assert done == b"[DONE]"
    documents = [json.loads(data) for data in chunks]
    for document in documents:
        assert document.pop("id") == "chatcmpl-1"
        assert document.pop("object") == "chat.completion.chunk"
        assert document.pop("created") == 7
        assert document.pop("model") == "m"
        assert document.pop("system_fingerprint") is None
    *told, usage = documents
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 7
    assert all(document["usage"] is None for document in told)
    choices = [document["choices"][0] for document in told]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "hi\r\n\u2028"},
        {
            "tool_calls": [
                {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "d", "type": "function", "function": {"name": "g", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None] * 6 + ["tool_calls"]
    assert all(choice["index"] == 0 and choice["logprobs"] is None for choice in choices)


def test_without_being_asked_nothing_is_said_of_usage() -> None:
    assert not any(b"usage" in data for data in streamed(CALLED, include_usage=False))


@given(generations)
def test_the_official_client_takes_every_chunk(answer: Generation) -> None:
    for data in streamed(answer, include_usage=True)[:-1]:
        ChatCompletionChunk.model_validate_json(data, strict=True)


def plain(answer: Generation) -> Generation:
    """``answer`` in the form that the dialect can tell: one thought, one text, then the calls."""
    return decode_response(encode_response(answer, id="chatcmpl-1", model="m", created=7))


@given(generations)
def test_a_streamed_answer_folds_to_the_unstreamed_one(answer: Generation) -> None:
    expected = plain(answer)
    decoder = ChunkDecoder()
    events = [event for data in streamed(expected, include_usage=True) for event in decoder.feed(data)]
    assert fold(events) == expected


@pytest.mark.parametrize("refused", [False, True])
def test_log_probabilities_and_refusals_are_told(refused: bool) -> None:
    extra = {LOGPROBS: Raw(b'[{"token":"no"}]'), **({"refusal": Raw(b"true")} if refused else {})}
    content = (TextBlock(text="no", extra=extra),)
    answer = Generation(id="g", model="m", content=content, stop_reason="refusal" if refused else "end_turn")
    choices = [json.loads(data)["choices"][0] for data in streamed(answer, include_usage=False)[:-1]]
    name, other = ("refusal", "content") if refused else ("content", "refusal")
    assert choices[1]["delta"] == {name: "no"}
    assert choices[1]["logprobs"] == {name: [{"token": "no"}], other: None}
    assert choices[-1]["finish_reason"] == "stop"


def test_the_fingerprint_is_passed_on() -> None:
    answer = Generation(id="g", model="m", content=(), stop_reason="end_turn")
    encoder = ChunkEncoder(id="i", model="m", created=1, include_usage=False)
    events = list(events_of(answer))
    begun = GenerationStarted(id="g", model="m", extra={"system_fingerprint": Raw(b'"fp_1"')})
    assert b'"system_fingerprint":"fp_1"' in encoder.feed(begun)
    assert b'"system_fingerprint":"fp_1"' in encoder.feed(events[-1])


@pytest.mark.parametrize(
    "event",
    [
        BlockStopped(index=0),
        SignatureDelta(index=0, signature="s"),
        BlockStarted(index=0, block=TextBlock(text="")),
        BlockStarted(index=0, block=ThinkingBlock(thinking="")),
        BlockStarted(index=0, block=RedactedThinkingBlock(data="x")),
        BlockStarted(index=0, block=OpaqueBlock(type="x", raw=Raw(b"{}"))),
    ],
)
def test_what_the_dialect_has_no_words_for_is_not_told(
    event: BlockStarted | BlockStopped | SignatureDelta,
) -> None:
    assert ChunkEncoder(id="i", model="m", created=1, include_usage=True).feed(event) == b""
