"""Items: taken apart, put together, named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.block import (
    Block,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from callboard.domain.codec import decode_message, encode_message
from callboard.domain.item import (
    ITEM,
    Owner,
    appended_id,
    hidden_id,
    input_id,
    instructing_role,
    instructions,
    lifted,
    owner_of,
    shown_id,
    taken_apart,
    together,
)
from callboard.domain.message import Message, user_text

TEXT = TextBlock(text="a")
IMAGE = ImageBlock(source=UrlSource(url="https://x.example/a.png"))
CALL = ToolUseBlock(id="c1", name="f", input=Raw(b"{}"))
RESULT = ToolResultBlock(tool_use_id="c1", content=(TEXT,))
THOUGHT = ThinkingBlock(thinking="hm")
OTHER = OpaqueBlock(type=ITEM, raw=Raw(b'{"type":"item","item":{}}'))
SECRET = RedactedThinkingBlock(data="x", extra={"id": Raw(b'"rs_theirs"')})

blocks: st.SearchStrategy[Block] = st.sampled_from([TEXT, IMAGE, CALL, RESULT, THOUGHT, OTHER, SECRET])
messages = st.lists(
    st.builds(
        lambda role, content: Message(role=role, content=tuple(content)),
        st.sampled_from(["user", "assistant"]),
        st.lists(blocks, min_size=1, max_size=5),
    ),
    max_size=5,
)


def test_what_is_said_in_one_go_is_one_item_and_all_else_is_one_each() -> None:
    message = Message(role="user", content=(RESULT, TEXT, IMAGE, OTHER, TEXT))
    assert [item.content for item in taken_apart([message])] == [
        (RESULT,),
        (TEXT, IMAGE),
        (OTHER,),
        (TEXT,),
    ]


@given(messages)
def test_what_is_taken_apart_comes_together_again(given: list[Message]) -> None:
    assert together(tuple(taken_apart(given))) == together(given)


@given(messages)
def test_items_are_not_taken_apart_further(given: list[Message]) -> None:
    items = list(taken_apart(given))
    assert list(taken_apart(items)) == items


def test_instructions_are_lifted_out_in_order_and_survive_being_stored() -> None:
    one, two = instructions("developer", (TextBlock(text="one"),)), instructions("system", (TEXT,))
    stored = tuple(decode_message(encode_message(each)) for each in (one, user_text("hi"), two))
    assert [instructing_role(each) for each in stored] == ["developer", None, "system"]
    assert lifted(stored) == ((TextBlock(text="one"), TEXT), (user_text("hi"),))


@pytest.mark.parametrize(
    "item_id, owner",
    [
        (shown_id("resp_ab", CALL, 3), Owner(response_id="resp_ab")),
        (input_id("resp_ab", user_text("a"), 0), Owner(response_id="resp_ab")),
        (hidden_id("resp_ab", RESULT, 1), Owner(response_id="resp_ab")),
        (appended_id("conv_cd", user_text("a"), 7), Owner(conversation_id="conv_cd")),
        ("rs_theirs", None),
        ("", None),
        ("msg__1", None),
    ],
)
def test_a_name_says_whose_the_item_is(item_id: str, owner: Owner | None) -> None:
    assert owner_of(item_id) == owner


def test_no_two_places_have_one_name_and_a_thought_keeps_the_one_it_is_bound_to() -> None:
    names = [
        shown_id("resp_a", RESULT, 1),
        hidden_id("resp_a", RESULT, 1),
        input_id("resp_a", Message(role="user", content=(RESULT,)), 1),
        appended_id("conv_a", Message(role="user", content=(RESULT,)), 1),
    ]
    assert names == ["fco_a_1", "fco_a_own1", "fco_a_in1", "fco_a_c1"]
    assert shown_id("resp_a", SECRET, 1) == "rs_theirs"
    assert shown_id("resp_a", SECRET, 1, ours=True) == "rs_a_1"
    assert hidden_id("resp_a", OTHER, 0) == "item_a_own0"
