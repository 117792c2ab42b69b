"""CompatibilityLayer: the shapes of the front's first edition."""

from __future__ import annotations

import json

from callboard.chats import CompatibilityLayer
from callboard.chats.user_file import decode_user_file
from tests.chats.world import DATA

GOLDEN = (DATA / "golden.json").read_bytes()


def test_a_message_list_has_roles_and_texts_and_nothing_else() -> None:
    first = decode_user_file(GOLDEN).conversations[0]
    expected = [
        {"role": each["role"], "text": each["text"]} for each in json.loads(GOLDEN)[first.data.id]["messages"]
    ]
    assert CompatibilityLayer().format_message_list(first) == expected


def test_metadata_are_what_a_list_shows() -> None:
    first = decode_user_file(GOLDEN).conversations[0]
    record = json.loads(GOLDEN)[first.data.id]
    assert CompatibilityLayer().format_conversation_metadata(first) == {
        "data": record["data"],
        "chat_name": record["chat_name"],
        "last_update": record["last_update"],
    }
