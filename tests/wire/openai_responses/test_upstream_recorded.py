"""Everything holds for what OpenAI really sends."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import pytest

from callboard.domain.block import (
    Block,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from callboard.domain.delta import GenerationEvent, GenerationStopped
from callboard.domain.fold import events_of, fold
from callboard.domain.generation import Generation
from callboard.errors import StreamIncomplete, UpstreamAuthentication, UpstreamNotFound
from callboard.wire.openai_chat.error import decode_error
from callboard.wire.openai_responses.upstream_stream import EventDecoder, decode_response
from callboard.wire.sse import SseDecoder
from tests.wire.chunking import pieces_of, single_bytes
from tests.wire.openai_chat.recorded import Exchange
from tests.wire.openai_responses.upstream_recorded import DOCUMENTS, ERRORS, STREAMS, final


def name(exchange: Exchange) -> str:
    return exchange.id


def events_from(pieces: Iterable[bytes]) -> list[GenerationEvent]:
    """The events of a whole stream."""
    sse, decoder = SseDecoder(), EventDecoder()
    events = [one for piece in pieces for event in sse.feed(piece) for one in decoder.feed(event.data)]
    return [*events, *decoder.end()]


def told(response: Any) -> list[tuple[object, ...]]:
    """What a Response object's output says, as far as the domain has blocks for it."""
    found: list[tuple[object, ...]] = []
    for item in response["output"]:
        match item["type"]:
            case "message":
                found += [("text", part["text"], item.get("phase")) for part in item["content"]]
            case "function_call":
                found.append(("call", item["call_id"], item["name"], item["arguments"]))
            case "reasoning" if item["summary"]:
                summary = "\n\n".join(part["text"] for part in item["summary"])
                found.append(("thinking", summary, item["id"], bool(item.get("encrypted_content"))))
            case "reasoning" if item.get("encrypted_content"):
                found.append(("redacted", item["id"]))
    return found


def heard(block: Block) -> tuple[object, ...]:
    """The same of a block."""
    assert isinstance(block, TextBlock | ToolUseBlock | ThinkingBlock | RedactedThinkingBlock)
    extra = {key: json.loads(bytes(value)) for key, value in (block.extra or {}).items()}
    match block:
        case TextBlock():
            return ("text", block.text, extra.get("phase"))
        case ToolUseBlock():
            return ("call", block.id, block.name, bytes(block.input).decode())
        case ThinkingBlock():
            return ("thinking", block.thinking, extra["id"], bool(block.signature))
        case RedactedThinkingBlock():
            return ("redacted", extra["id"])


def check(generation: Generation, exchange: Exchange) -> None:
    """The generation says what the Response object does, and counts what it counts."""
    response = final(exchange)
    assert (generation.id, generation.model) == (response["id"], response["model"])
    assert [heard(block) for block in generation.content] == told(response)
    usage = generation.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.output_tokens, usage.total_tokens) == (
        response["usage"]["input_tokens"],
        response["usage"]["output_tokens"],
        response["usage"]["total_tokens"],
    )
    assert usage.cache_read_tokens == response["usage"]["input_tokens_details"]["cached_tokens"]
    assert usage.reasoning_tokens == response["usage"]["output_tokens_details"]["reasoning_tokens"]
    called = any(isinstance(block, ToolUseBlock) for block in generation.content)
    expected = "tool_use" if called else "end_turn"
    assert generation.stop_reason == ("max_tokens" if response["status"] == "incomplete" else expected)


def test_the_sample_holds_each_kind() -> None:
    assert (len(STREAMS), len(DOCUMENTS), len(ERRORS)) == (9, 12, 3)


@pytest.mark.parametrize("exchange", DOCUMENTS, ids=name)
def test_a_document_is_understood(exchange: Exchange) -> None:
    generation = decode_response(exchange.answer)
    check(generation, exchange)
    assert fold(events_of(generation)) == generation


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_comes_to_what_its_last_event_says(exchange: Exchange) -> None:
    check(fold(events_from([exchange.answer])), exchange)


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_decodes_alike_however_it_is_cut_into_pieces(exchange: Exchange) -> None:
    whole = events_from([exchange.answer])
    assert events_from(single_bytes(exchange.answer)) == whole
    rng = random.Random(4)
    for _ in range(20):
        places = [rng.randrange(len(exchange.answer)) for _ in range(12)]
        assert events_from(pieces_of(exchange.answer, places)) == whole


@pytest.mark.parametrize("exchange", STREAMS, ids=name)
def test_a_stream_cut_at_any_byte_is_incomplete_until_its_last_event_was_seen(exchange: Exchange) -> None:
    sse, decoder = SseDecoder(), EventDecoder()
    # Neither the blank lines nor anything else after the last event's data says more.
    last = len(exchange.answer.rstrip()) + 2
    for at in range(last):
        with pytest.raises(StreamIncomplete):
            decoder.end()
        events = [one for event in sse.feed(exchange.answer[at : at + 1]) for one in decoder.feed(event.data)]
        assert any(isinstance(event, GenerationStopped) for event in events) is (at == last - 1)
    assert decoder.end() == ()


@pytest.mark.parametrize("exchange", ERRORS, ids=name)
def test_an_error_is_recognised(exchange: Exchange) -> None:
    error = decode_error(exchange.response.status, (), exchange.answer)
    assert type(error) is (UpstreamAuthentication if exchange.response.status == 401 else UpstreamNotFound)
