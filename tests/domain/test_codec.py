"""Messages as JSON: Anthropic's shape, and nothing is lost."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.block import OpaqueBlock, TextBlock, ToolResultBlock
from callboard.domain.codec import (
    decode_block,
    decode_message,
    decode_messages,
    encode_block,
    encode_message,
    encode_messages,
)
from callboard.domain.message import Message, user_text
from callboard.errors import LocalWireError
from tests.domain.conversations import messages


@given(st.lists(messages, max_size=3).map(tuple))
def test_what_is_encoded_comes_back_equal(conversation: tuple[Message, ...]) -> None:
    assert decode_messages(encode_messages(conversation)) == conversation


@pytest.mark.parametrize(
    "document",
    [
        '{"type":"text","text":"hi","cache_control":{"type":"ephemeral"},"citations":null}',
        '{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}',
        '{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"title":"t","context":"c"}',
        '{"type":"tool_use","id":"a","name":"f","input":{"x":1.50},"caller":{"type":"direct"}}',
        '{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"4"}],"is_error":true,"k":1}',
        '{"type":"thinking","thinking":"hm","signature":"EqQB"}',
        '{"type":"redacted_thinking","data":"EmwK"}',
        '{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}',
        '{"type":"image","source":{"type":"hologram","beam":7}}',
        '{"type":"text","text":"hi","extra":{"extra":1}}',
    ],
)
def test_a_block_of_the_dialect_comes_back_with_every_field(document: str) -> None:
    again = encode_block(decode_block(document.encode()))
    assert msgspec.json.decode(again) == msgspec.json.decode(document)


def test_text_in_the_place_of_blocks_becomes_one_block() -> None:
    assert decode_message(b'{"role":"user","content":"hi"}') == user_text("hi")
    result = decode_block(b'{"type":"tool_result","tool_use_id":"a","content":"4"}')
    assert result == ToolResultBlock(tool_use_id="a", content=(TextBlock(text="4"),))


def test_unknown_fields_of_a_message_stay_beside_the_known_ones() -> None:
    message = decode_message(b'{"role":"user","content":[],"id":"msg_1"}')
    assert message.extra == {"id": Raw(b'"msg_1"')}
    assert msgspec.json.decode(encode_message(message))["id"] == "msg_1"


def test_a_known_field_wins_over_one_of_the_same_name_in_extra() -> None:
    block = TextBlock(text="true words", extra={"text": Raw(b'"others"')})
    assert msgspec.json.decode(encode_block(block)) == {"type": "text", "text": "true words"}


def test_a_block_of_an_unknown_type_is_kept_byte_for_byte() -> None:
    raw = b'{"type":"later",  "n": 1.10}'
    assert decode_block(raw) == OpaqueBlock(type="later", raw=Raw(raw))
    assert encode_block(decode_block(raw)) == raw


@pytest.mark.parametrize(
    "document, param",
    [
        (b"[1", "messages"),
        (b'[{"role":"boss","content":""}]', "messages[0]"),
        (b'[{"role":"user","content":[{"text":"x"}]}]', "messages[0].content[0].type"),
        (b'[{"role":"user","content":[{"type":"text"}]}]', "messages[0].content[0]"),
        (
            b'[{"role":"user","content":[{"type":"tool_use","id":"a","name":"f","input":[]}]}]',
            "messages[0].content[0].input",
        ),
        (
            b'[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"thinking","thinking":""}]}]}]',
            "messages[0].content[0].content",
        ),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(document: bytes, param: str) -> None:
    with pytest.raises(LocalWireError) as refused:
        decode_messages(document)
    assert refused.value.param == param
