"""The file of one user: both editions are read, one is written, and no record takes another with it."""

from __future__ import annotations

import json

import pytest

from callboard.chats.user_file import decode_user_file, encode_user_file
from callboard.errors import InvalidRequest
from tests.chats.world import DATA

GOLDEN = (DATA / "golden.json").read_bytes()
LEGACY = (DATA / "legacy.json").read_bytes()


def test_a_file_comes_out_as_it_went_in_fields_that_we_do_not_know_included() -> None:
    file = decode_user_file(GOLDEN)
    written = encode_user_file(file.conversations)
    assert json.loads(written) == json.loads(GOLDEN)
    assert "今日".encode() in written
    assert (file.broken, file.migrated) == ((), ())
    assert decode_user_file(b"\xef\xbb\xbf" + GOLDEN).conversations == file.conversations


def test_the_earlier_edition_is_migrated() -> None:
    file = decode_user_file(LEGACY)
    assert file.migrated == ("thread_8LxyT", "thread_2")
    written = json.loads(encode_user_file(file.conversations))
    assert written["thread_8LxyT"] == {
        "data": {
            "id": "thread_8LxyT",
            "created_at": 1710000000,
            "metadata": {"a": "b"},
            "object": "conversation",
        },
        "chat_name": "Old_ one",
        "last_update": 1710000123,
        "messages": [],
        "last_response_id": None,
    }
    again = decode_user_file(encode_user_file(file.conversations))
    assert again.conversations == file.conversations
    assert again.migrated == ()


@pytest.mark.parametrize(
    "record",
    [
        "7",
        "{}",
        '{"data":{"id":"b"},"chat_name":"x"}',
        '{"data":{"created_at":"then"},"chat_name":"x"}',
        '{"data":{"created_at":1},"chat_name":[]}',
        '{"data":{"created_at":1},"messages":[{"role":"robot","text":"x"}]}',
        '{"data":{"created_at":1},"messages":[{"role":"user"}]}',
        '{"data":{"created_at":1},"messages":[{"role":"user","text":"\\ud800"}]}',
        '{"data":{"created_at":1e300},"last_update":1e999}',
    ],
)
def test_a_record_that_cannot_be_read_takes_no_other_with_it(record: str) -> None:
    others = GOLDEN.strip()[1:].decode()
    file = decode_user_file(f'{{"bad": {record}, {others}'.encode())
    assert [each.id for each in file.broken] == ["bad"]
    assert file.broken[0].reason
    assert json.loads(encode_user_file(file.conversations)) == json.loads(GOLDEN)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a": {', b"\xff\xfe{", b"null"])
def test_what_is_no_object_of_conversations_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        decode_user_file(data)
