"""The front's wire: what is sent, byte for byte, and that it is read wherever it is cut."""

from __future__ import annotations

import json

import pytest

from callboard.chats.events import MessageList, ResponseDone, TextDelta, TextDone
from callboard.chats.frames import SEPARATOR, STILL_HERE, FrameParser, encode_frame, encode_frames

SEEN = (
    MessageList(threadId="t1", messages=[{"role": "user", "text": 'Grüße "␆␄"'}]),
    TextDelta(delta="␆␄ 🙂\n"),
    TextDone(text="x", response_id=None),
    ResponseDone(response_id="resp_1"),
)


def test_events_are_sent_as_ever() -> None:
    assert SEPARATOR.decode() == "␆␄"
    assert encode_frame(TextDelta(delta="a ␆␄")) == (
        b'{"type": "text_delta", "delta": "a \\u2406\\u2404"}\xe2\x90\x86\xe2\x90\x84'
    )
    assert encode_frame(ResponseDone(response_id="r")) == (
        b'{"type": "response_done", "response_id": "r"}\xe2\x90\x86\xe2\x90\x84'
    )
    expected = json.dumps(json.dumps({"type": "message_list", "threadId": "t1", "messages": []}))
    assert encode_frame(MessageList(threadId="t1", messages=[])) == f"{expected}␆␄".encode()


def test_the_separator_is_nowhere_within_an_event() -> None:
    sent = encode_frames(SEEN)
    assert sent.count(SEPARATOR) == len(SEEN)
    assert sent.replace(SEPARATOR, b"").isascii()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_events_are_read_wherever_the_bytes_are_cut(size: int) -> None:
    sent = STILL_HERE + encode_frames(SEEN[:1]) + STILL_HERE + encode_frames(SEEN[1:])
    parser = FrameParser()
    read = [event for at in range(0, len(sent), size) for event in parser.feed(sent[at : at + size])]
    assert [event["type"] for event in read] == ["message_list", "text_delta", "text_done", "response_done"]
    assert read[0]["messages"] == [{"role": "user", "text": 'Grüße "␆␄"'}]
    assert read[1]["delta"] == "␆␄ 🙂\n"
    assert parser.unreadable == 0


def test_a_list_that_is_encoded_once_is_read_too_and_what_is_no_event_is_passed_over() -> None:
    parser = FrameParser()
    sent = [b'{"type":"message_list"}', b"", b"{", b"7", b'"x"', b'"[1]"', b"\xff", b'{"type":"text_done"}']
    read = parser.feed(SEPARATOR.join([*sent, b""]))
    assert [event["type"] for event in read] == ["message_list", "text_done"]
    assert parser.unreadable == 5
