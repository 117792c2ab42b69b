"""Server-sent events: the standard's examples, its corners, and any chunking."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import RemoteWireError
from callboard.wire.sse import DONE, KEEP_ALIVE, SseDecoder, SseEvent, encode_event
from tests.wire.chunking import cuts, pieces_of, single_bytes


def decoded(pieces: Iterable[bytes], *, limit: int = 1 << 20) -> list[SseEvent | str]:
    """The events, and the word ``too large`` where the decoder gave up."""
    decoder = SseDecoder(limit)
    found: list[SseEvent | str] = []
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        decoder.end()
    except RemoteWireError:
        found.append("too large")
    return found


CASES = [
    pytest.param(b"data: YHOO\ndata: +2\ndata: 10\n\n", [SseEvent(b"YHOO\n+2\n10")], id="many data lines"),
    pytest.param(
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [SseEvent(b"first event", "message", "1"), SseEvent(b"second event"), SseEvent(b" third event")],
        id="ids and comments",
    ),
    pytest.param(
        b"data\n\ndata\ndata\n\ndata:", [SseEvent(b""), SseEvent(b"\n")], id="fields without a colon"
    ),
    pytest.param(b"data:test\n\ndata: test\n\n", [SseEvent(b"test")] * 2, id="one optional space"),
    pytest.param(b"event: add\ndata: 1\n\ndata: 2\n\n", [SseEvent(b"1", "add"), SseEvent(b"2")], id="types"),
    pytest.param(b"event: add\n\ndata: 2\n\n", [SseEvent(b"2")], id="a type without data is forgotten"),
    pytest.param(
        b"data: a\r\n\r\ndata: b\r\rdata: c\n\n",
        [SseEvent(b"a"), SseEvent(b"b"), SseEvent(b"c")],
        id="line ends",
    ),
    pytest.param(b"data: a\r\ndata: b\rdata: c\n\r\n", [SseEvent(b"a\nb\nc")], id="mixed line ends"),
    pytest.param(
        b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n",
        [SseEvent(b"a"), SseEvent(b"\xef\xbb\xbfb")],
        id="BOM",
    ),
    pytest.param(
        'data: {"t":"a\u2028b\u0085c\x0bd"}\n\n'.encode(),
        [SseEvent('{"t":"a\u2028b\u0085c\x0bd"}'.encode())],
        id="line ends of Unicode are data",
    ),
    pytest.param(b"data: a\n\ndata: b\n", [SseEvent(b"a")], id="an open event at the end"),
    pytest.param(b"data: a\n\ndata: b", [SseEvent(b"a")], id="an open line at the end"),
    pytest.param(b"\n\n\ndata: a\n\n\n\n\n", [SseEvent(b"a")], id="empty lines"),
    pytest.param(b"id: a\0b\ndata: 1\n\n", [SseEvent(b"1")], id="an id with NUL"),
    pytest.param(b"Data: 1\nfoo: 2\n data: 3\ndata: 4\n\n", [SseEvent(b"4")], id="unknown fields"),
    pytest.param(b"data: a: b\n\n", [SseEvent(b"a: b")], id="a colon in the value"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize("stream, expected", CASES)
def test_a_stream_gives_its_events_whole_and_byte_by_byte(stream: bytes, expected: list[SseEvent]) -> None:
    assert decoded([stream]) == expected
    assert decoded(single_bytes(stream)) == expected


lines = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b"event: e",
        b"id: 7",
        b": note",
        b"retry: 10",
        b"",
        b"",
        b"",
        b"data: long line",
    ]
)
ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
streams = st.lists(st.tuples(lines, ends).map(b"".join), max_size=30).map(b"".join)


@given(streams, cuts, st.sampled_from([1 << 20, 12, 20]))
def test_chunking_never_matters(stream: bytes, places: list[int], limit: int) -> None:
    whole = decoded([stream], limit=limit)
    assert decoded(pieces_of(stream, places), limit=limit) == whole
    assert decoded(single_bytes(stream), limit=limit) == whole


@given(streams)
def test_the_fast_path_gives_what_reading_line_by_line_gives(stream: bytes) -> None:
    expected: list[SseEvent] = []
    data: list[bytes] = []
    kind, last_id = "", ""
    *whole_lines, _ = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in whole_lines:
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if data:
                expected.append(SseEvent(b"\n".join(data), kind or "message", last_id))
            data, kind = [], ""
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode()
        elif name == b"id":
            last_id = value.decode()
    assert decoded([stream]) == expected


@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 100, b"data: " + b"x" * 100 + b"\n\n", b"data: xxxxx\n" * 20, b": " + b"x" * 100],
)
def test_an_event_beyond_the_limit_is_refused_after_those_before_it(stream: bytes) -> None:
    assert decoded([b"data: ok\n\n" + stream + b"\n"], limit=64) == [SseEvent(b"ok"), "too large"]


def test_comments_and_small_events_without_number_stay_below_the_limit() -> None:
    stream = (b": keep-alive\n" * 50 + b"data: x\n\n") * 50
    assert decoded([stream], limit=64) == [SseEvent(b"x")] * 50


def test_a_decoder_that_gave_up_stays_so() -> None:
    decoder = SseDecoder(8)
    with pytest.raises(RemoteWireError):
        decoder.feed(b"data: 123456789")
    with pytest.raises(RemoteWireError):
        decoder.feed(b"data: 1\n\n")


@pytest.mark.parametrize(
    "value, expected",
    [(b"3000", 3000), (b"0", 0), (b"-1", None), (b"1e9", None), (b"9" * 5000, None), (b"", None)],
)
def test_the_reconnection_time_is_kept_if_it_is_a_number(value: bytes, expected: int | None) -> None:
    decoder = SseDecoder()
    decoder.feed(b"retry: %b\n\n" % value)
    assert decoder.retry_ms == expected


@given(st.binary(), st.none() | st.sampled_from(["error", "response.created"]))
def test_no_payload_ends_its_event_or_begins_another(payload: bytes, kind: str | None) -> None:
    (event,) = decoded([encode_event(payload, kind)])
    assert isinstance(event, SseEvent)
    assert event.event == (kind or "message")
    assert event.data == payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@pytest.mark.parametrize("kind", ["a\nb", "a\rb", "a b", "ä", "a\0"])
def test_an_event_type_is_one_plain_word(kind: str) -> None:
    with pytest.raises(ValueError, match="event type"):
        encode_event(b"{}", kind)


def test_what_is_no_answer_is_no_data() -> None:
    assert decoded([KEEP_ALIVE]) == []
    assert decoded([DONE]) == [SseEvent(b"[DONE]")]
