"""Passing bytes on: only what must change does, and the meter is never fooled by text."""

import json
from itertools import chain

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.usage import Usage
from callboard.errors import LocalWireError, RemoteWireError
from callboard.wire.openai_chat.relay import Peek, RelayMeter, peek, rewrite
from tests.wire.chunking import cuts, pieces_of, single_bytes

PLAIN = b'{"model": "m1", "messages": [{"role":"user","content":"hi"}], "stream": true}'


def test_a_peek_tells_what_the_relay_needs() -> None:
    body = (
        b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true},"max_tokens":5,'
        b'"max_completion_tokens":6,"n":2,"tools":[{}],"temperature":"not looked at"}'
    )
    assert peek(body) == Peek(
        model="m",
        stream=True,
        include_usage=True,
        max_output_tokens=6,
        n=2,
        has_tools=True,
        body_bytes=len(body),
    )
    assert peek(b'{"model":"m"}') == Peek(
        model="m",
        stream=False,
        include_usage=False,
        max_output_tokens=None,
        n=1,
        has_tools=False,
        body_bytes=13,
    )


@pytest.mark.parametrize(
    "body, param",
    [(b'{"model":3}', "model"), (b"{}", "model"), (b'{"model":"m","stream":"yes"}', "stream"), (b"[]", None)],
)
def test_a_peek_refuses_what_it_cannot_read(body: bytes, param: str | None) -> None:
    with pytest.raises(LocalWireError) as refused:
        peek(body)
    assert refused.value.param == param


def test_nothing_to_change_gives_the_very_same_bytes() -> None:
    assert rewrite(PLAIN, peek(PLAIN), model="m1", include_usage=False) is PLAIN
    asked = b'{"model":"m1","stream":true,"stream_options":{"include_usage":true}}'
    assert rewrite(asked, peek(asked), model="m1", include_usage=True) is asked
    unstreamed = b'{"model":"m1"}'
    assert rewrite(unstreamed, peek(unstreamed), model="m1", include_usage=True) is unstreamed


HOSTILE = '{"model":"evil","stream_options":{}} "model": "evil" \\"model\\"'


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False, "other": 1}, "absent"])
def test_only_the_two_fields_change(options: object) -> None:
    document: dict[str, object] = {
        "metadata": {"model": "nested", "stream_options": HOSTILE},
        "messages": [{"role": "user", "content": HOSTILE}],
        "mödel": 1.50,
        "model": "m1",
        "stream": True,
    }
    if options != "absent":
        document["stream_options"] = options
    body = json.dumps(document, indent=1).encode()
    changed = rewrite(body, peek(body), model='up"1', include_usage=True)
    kept = options if isinstance(options, dict) else {}
    assert json.loads(changed) == {
        **document,
        "model": 'up"1',
        "stream_options": {**kept, "include_usage": True},
    }
    assert b"1.5," in changed


def test_a_name_written_with_escapes_is_still_the_name() -> None:
    body = b'{"mod\\u0065l":"m1","messages":["\\"model\\""]}'
    assert json.loads(rewrite(body, peek(body), model="m2", include_usage=False)) == {
        "model": "m2",
        "messages": ['"model"'],
    }


# --- the meter

ASKED = Peek(
    model="m", stream=True, include_usage=True, max_output_tokens=None, n=1, has_tools=False, body_bytes=1
)
NOT_ASKED = msgspec.structs.replace(ASKED, include_usage=False)


def event(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields, separators=(",", ":")).encode()


def delta(text: str, finish: str | None = None, index: int = 0, **fields: object) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return event(choices=[choice], **fields)


USAGE_EVENT = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})
DONE = b"data: [DONE]\n\n"
STREAM = [delta("a", usage=None), delta("b", usage=None), delta("", "stop", usage=None), USAGE_EVENT, DONE]


def with_crlf(stream: bytes) -> bytes:
    return stream.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("style", [bytes, with_crlf])
@given(places=cuts)
def test_the_usage_that_was_not_asked_for_is_taken_out_in_any_chunking(
    style: type[bytes], places: list[int]
) -> None:
    stream = style(b"".join(STREAM))
    expected = style(b"".join(one for one in STREAM if one is not USAGE_EVENT))
    for pieces in (pieces_of(stream, places), single_bytes(stream)):
        meter = RelayMeter(NOT_ASKED)
        passed = b"".join(meter.feed(piece) for piece in pieces)
        assert passed + meter.end() == expected
        assert meter.usage == Usage(input_tokens=3, output_tokens=4)
        assert meter.complete
        assert meter.finish_reason == "stop"
        assert meter.deltas == 3


@given(cuts)
def test_the_usage_that_was_asked_for_passes_untouched(places: list[int]) -> None:
    stream = b"".join(STREAM)
    meter = RelayMeter(ASKED)
    assert [meter.feed(piece) for piece in pieces_of(stream, places)] == list(pieces_of(stream, places))
    assert meter.usage is not None


@given(st.booleans(), cuts)
def test_the_client_may_be_sent_a_comment_only_between_events(asked: bool, places: list[int]) -> None:
    meter = RelayMeter(ASKED if asked else NOT_ASKED)
    passed = b""
    assert meter.between_events
    for piece in pieces_of(b"".join(STREAM), places):
        passed += meter.feed(piece)
        assert meter.between_events == (not passed or passed.endswith(b"\n\n"))


def test_whole_pieces_are_handed_on_without_a_copy() -> None:
    meter = RelayMeter(NOT_ASKED)
    assert all(meter.feed(piece) is piece for piece in STREAM[:3])


def test_text_that_looks_like_the_end_is_only_text() -> None:
    tricks = [
        '"usage":{"prompt_tokens":9}',
        '"finish_reason":"stop"',
        "data: [DONE]",
        "\n\ndata: [DONE]\n\n",
        '"delta"',
    ]
    meter = RelayMeter(NOT_ASKED)
    stream = [delta(trick) for trick in tricks]
    assert b"".join(meter.feed(piece) for piece in stream) == b"".join(stream)
    assert not meter.complete
    assert meter.usage is None
    assert meter.deltas == len(tricks)


@pytest.mark.parametrize(
    "pieces, complete",
    [
        ([], False),
        ([delta("a")], False),
        ([delta("a"), USAGE_EVENT], False),
        ([delta("a", "stop")], True),
        ([delta("a", "stop")[:-1]], False),
        ([delta("a"), DONE], True),
        ([event(error={"message": "x"})], False),
        ([b"data: {broken\n\n"], False),
    ],
)
def test_a_stream_is_complete_at_its_finish_or_its_end_marker(pieces: list[bytes], complete: bool) -> None:
    meter = RelayMeter(ASKED)
    for piece in pieces:
        meter.feed(piece)
    assert meter.complete is complete


def test_each_of_several_answers_has_to_finish() -> None:
    meter = RelayMeter(msgspec.structs.replace(ASKED, n=2))
    meter.feed(delta("a", "stop", 0) + delta("a", "stop", 0))
    assert not meter.complete
    meter.feed(delta("b", "length", 1))
    assert meter.complete


def test_what_was_held_back_in_vain_is_released_at_the_end() -> None:
    meter = RelayMeter(NOT_ASKED)
    meter.feed(delta("a", "stop"))
    assert meter.feed(b'data: {"choi') == b""
    assert meter.end() == b'data: {"choi'


def test_an_end_marker_without_its_empty_line_still_counts() -> None:
    meter = RelayMeter(ASKED)
    meter.feed(delta("a") + b"data: [DONE]\n")
    meter.end()
    assert meter.complete


def test_a_usage_chunk_that_has_been_handed_out_in_part_passes_whole() -> None:
    meter = RelayMeter(NOT_ASKED)
    pieces = [delta("a") + USAGE_EVENT[:20], USAGE_EVENT[20:] + delta("", "stop")]
    assert [meter.feed(piece) for piece in pieces] == pieces
    assert meter.usage is not None


def test_usage_that_comes_with_a_piece_of_the_answer_is_learnt_and_passes() -> None:
    last = delta("a", "stop", usage={"prompt_tokens": 3, "completion_tokens": 4})
    meter = RelayMeter(NOT_ASKED)
    assert meter.feed(last) == last
    assert meter.usage == Usage(input_tokens=3, output_tokens=4)


def test_an_endless_event_is_refused() -> None:
    meter = RelayMeter(ASKED)
    with pytest.raises(RemoteWireError):
        for piece in chain([b"data: "], [b"x" * 65_536] * 17):
            meter.feed(piece)
