"""Chunks that are alike are read by what surrounds their text: never otherwise than if they were decoded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.delta import GenerationEvent, TextDelta
from callboard.errors import RemoteWireError
from callboard.wire.openai_chat.alike import Alike
from callboard.wire.openai_chat.stream import ChunkDecoder


def chunk(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], **more}, separators=(",", ":")).encode()


def fed(*data: bytes) -> list[GenerationEvent]:
    decoder = ChunkDecoder()
    return [event for each in data for event in decoder.feed(each)]


def texts(*data: bytes) -> list[str]:
    return [event.text for event in fed(*data) if isinstance(event, TextDelta)]


def learnt(text: str = "one") -> Alike:
    alike = Alike.of(chunk(text), text)
    assert alike is not None
    return alike


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_from_a_chunk_that_is_alike(text: str) -> None:
    assert learnt().text_of(chunk(text)) == text


@pytest.mark.parametrize(
    "other",
    [
        chunk("two", usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk("two")[:-1],
        chunk('two"},"finish_reason":"stop"}]}').replace(b'\\"', b'"'),
        chunk("two").replace(b"two", b"t\x01wo"),
        chunk("two").replace(b"two", b"t\xffwo"),
        b'{"id":"c"}',
        chunk("")[:-20],
    ],
)
def test_a_chunk_that_is_not_alike_is_not_read(other: bytes) -> None:
    assert learnt().text_of(other) is None


@pytest.mark.parametrize(
    "data",
    [
        chunk("one").replace(b"one", b"\\u006fne"),
        chunk("one", extra={"content": "one"}),
        chunk("one").replace(b"[{", b'[{"index":1,"delta":{"content":"one"}},{'),
        chunk("one").replace(b'"delta":{', b'"delta":{"tool_calls":[{"index":0}],'),
    ],
)
def test_what_cannot_be_learnt_from_with_certainty_is_not(data: bytes) -> None:
    assert Alike.of(data, "one") is None


def test_a_stream_says_the_same_whether_or_not_its_chunks_are_alike() -> None:
    said = ["a", "b ", 'c"', "", "dé", "\n"]
    alike = [chunk(text) for text in said]
    unlike = [chunk(text, number=place) for place, text in enumerate(said)]
    stop = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).encode()
    assert fed(*alike, stop, b"[DONE]") == fed(*unlike, stop, b"[DONE]")
    assert texts(*alike) == [text for text in said if text]


def test_what_is_broken_in_the_midst_of_alike_chunks_is_refused() -> None:
    decoder = ChunkDecoder()
    for text in ("a", "b", "c"):
        decoder.feed(chunk(text))
    with pytest.raises(RemoteWireError):
        decoder.feed(chunk("d").replace(b'"d"', b'"d'))
