"""Everything holds for what providers really send."""

import json
from collections.abc import Iterable

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from callboard.domain.delta import GenerationEvent, GenerationStopped
from callboard.domain.fold import events_of, fold
from callboard.domain.model import ModelTraits
from callboard.errors import StreamIncomplete, UpstreamError
from callboard.wire.json import check
from callboard.wire.openai_chat.error import decode_error
from callboard.wire.openai_chat.relay import RelayMeter, peek
from callboard.wire.openai_chat.request import decode_request, encode_request
from callboard.wire.openai_chat.response import decode_response, decode_usage, encode_response
from callboard.wire.openai_chat.stream import ChunkDecoder, ChunkEncoder
from callboard.wire.sse import SseDecoder
from tests.wire.chunking import single_bytes
from tests.wire.openai_chat.recorded import DOCUMENTS, ERRORS, EXCHANGES, STREAMS, Exchange


def name(exchange: Exchange) -> str:
    return exchange.id


def events_from(pieces: Iterable[bytes]) -> list[GenerationEvent]:
    """The events of a whole stream."""
    sse, chunks = SseDecoder(), ChunkDecoder()
    events: list[GenerationEvent] = []
    for piece in pieces:
        for event in sse.feed(piece):
            events += chunks.feed(event.data)
    return [*events, *chunks.end()]


def test_the_sample_holds_each_kind() -> None:
    assert (len(STREAMS), len(DOCUMENTS), len(ERRORS)) == (25, 26, 6)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=name)
def test_a_request_survives_decoding_and_encoding(exchange: Exchange) -> None:
    check(exchange.sent)
    chat = decode_request(exchange.sent)
    body = encode_request(
        chat.request, upstream_name=chat.request.model, traits=ModelTraits(), stream=chat.stream
    )
    again = decode_request(body).request
    assert again.system == chat.request.system
    assert again.tools == chat.request.tools
    assert again.extra == chat.request.extra
    assert [message.content for message in again.messages] == [
        message.content for message in chat.request.messages
    ]


@pytest.mark.parametrize("exchange", DOCUMENTS, ids=name)
def test_a_document_decodes_and_encodes_to_what_the_official_client_takes(exchange: Exchange) -> None:
    try:
        answer = decode_response(exchange.answer)
    except UpstreamError:
        assert '"error"' in exchange.response.body
        return
    assert fold(events_of(answer)) == answer
    assert decode_usage(exchange.answer) == answer.usage
    encoded = encode_response(answer, id=answer.id, model=answer.model, created=1)
    ChatCompletion.model_validate_json(encoded, strict=True)
    again = decode_response(encoded)
    assert (again.content, again.stop_reason, again.usage) == (
        answer.content,
        answer.stop_reason,
        answer.usage,
    )


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_decodes_alike_however_it_is_cut_into_pieces(exchange: Exchange) -> None:
    whole = events_from([exchange.answer])
    assert events_from(single_bytes(exchange.answer)) == whole
    assert isinstance(whole[-1], GenerationStopped)


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_encodes_to_what_the_official_client_takes_and_says_the_same(exchange: Exchange) -> None:
    events = events_from([exchange.answer])
    encoder = ChunkEncoder(id="chatcmpl-1", model="m", created=1, include_usage=True)
    stream = b"".join(encoder.feed(event) for event in events)
    for event in SseDecoder().feed(stream)[:-1]:
        ChatCompletionChunk.model_validate_json(event.data, strict=True)
    answer, again = fold(events), fold(events_from([stream]))
    assert (again.content, again.stop_reason, again.usage) == (
        answer.content,
        answer.stop_reason,
        answer.usage,
    )


def end_of_first_finish(stream: bytes) -> int:
    """Where the first event ends that says that the answer is finished."""
    start = 0
    for event in stream.split(b"\n\n"):
        start += len(event) + 2
        data = event.removeprefix(b"data: ")
        if data == b"[DONE]":
            return start
        choices = json.loads(data).get("choices") if data.startswith(b"{") else None
        if any(choice["finish_reason"] for choice in choices or ()):
            return start
    raise AssertionError("the recorded stream is not complete")


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_cut_at_any_byte_is_incomplete_until_its_finish_was_seen(exchange: Exchange) -> None:
    sse, chunks = SseDecoder(), ChunkDecoder()
    for at in range(end_of_first_finish(exchange.answer)):
        with pytest.raises(StreamIncomplete):
            chunks.end()
        events = [one for event in sse.feed(exchange.answer[at : at + 1]) for one in chunks.feed(event.data)]
        assert not any(isinstance(event, GenerationStopped) for event in events)
    assert isinstance(chunks.end()[-1], GenerationStopped)


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_the_relay_learns_what_decoding_learns_and_alters_nothing(exchange: Exchange) -> None:
    asked = peek(exchange.sent)
    answer = fold(events_from([exchange.answer]))
    meter = RelayMeter(asked)
    passed = b"".join(meter.feed(piece) for piece in single_bytes(exchange.answer))
    assert meter.complete
    assert meter.usage == answer.usage
    if asked.include_usage or b'"choices":[],"usage":{' not in exchange.answer:
        assert passed + meter.end() == exchange.answer


@pytest.mark.parametrize("exchange", ERRORS, ids=name)
def test_an_error_is_recognised(exchange: Exchange) -> None:
    error = decode_error(exchange.response.status, (), exchange.answer)
    assert error.upstream_status == exchange.response.status
    assert error.upstream_code in {
        "invalid_api_key",
        "model_not_found",
        "invalid_image_url",
        "DeploymentNotFound",
    }
    assert "sk-" not in str(error)
