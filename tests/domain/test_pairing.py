"""Each tool call has exactly one result, in the next message, after every repair."""

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.block import Block, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.message import Message, user_text
from callboard.domain.pairing import check, interrupted, repair, repairing


def call(name: str) -> ToolUseBlock:
    return ToolUseBlock(id=name, name="f", input=Raw(b"{}"))


def result(name: str, text: str = "ok") -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=name, content=(TextBlock(text=text),))


def said(*blocks: Block) -> Message:
    return Message(role="assistant", content=blocks)


def told(*blocks: Block) -> Message:
    return Message(role="user", content=blocks)


HELLO = TextBlock(text="hello")
SOUND = (user_text("go"), said(call("a"), call("b")), told(result("b"), result("a"), HELLO), said(HELLO))


def test_a_sound_conversation_is_left_alone() -> None:
    assert check(SOUND) is None
    assert repair(SOUND) is SOUND


@pytest.mark.parametrize(
    "broken, mended",
    [
        pytest.param(
            (said(call("a")),), (said(call("a")), told(interrupted("a"))), id="crash before the result"
        ),
        pytest.param(
            (said(call("a"), call("b")), told(result("b"))),
            (said(call("a"), call("b")), told(result("b"), interrupted("a"))),
            id="crash between results",
        ),
        pytest.param(
            (said(call("a")), user_text("hello")),
            (said(call("a")), told(interrupted("a"), HELLO)),
            id="the user went on",
        ),
        pytest.param(
            (said(call("a")), user_text("hello"), told(result("a"))),
            (said(call("a")), told(result("a"), HELLO)),
            id="result one message late",
        ),
        pytest.param(
            (said(call("a")), said(HELLO)),
            (said(call("a")), told(interrupted("a")), said(HELLO)),
            id="the assistant went on",
        ),
        pytest.param((told(result("x"), HELLO),), (told(HELLO),), id="orphan beside text"),
        pytest.param((user_text("hello"), told(result("x"))), (user_text("hello"),), id="orphan alone"),
        pytest.param(
            (said(call("a")), told(result("a", "first"), result("a", "second"))),
            (said(call("a")), told(result("a", "first"))),
            id="two results",
        ),
        pytest.param(
            (said(call("a"), call("a")), told(result("a"))),
            (said(call("a")), told(result("a"))),
            id="one id twice",
        ),
        pytest.param(
            (said(call("a")), told(HELLO, result("a"))),
            (said(call("a")), told(result("a"), HELLO)),
            id="result after text",
        ),
        pytest.param((told(call("a"), HELLO),), (told(HELLO),), id="the user calls"),
        pytest.param((said(result("a"), HELLO),), (said(HELLO),), id="the assistant answers"),
    ],
)
def test_a_broken_conversation_is_noticed_and_mended(
    broken: tuple[Message, ...], mended: tuple[Message, ...]
) -> None:
    assert check(broken) is not None
    assert repair(broken) == mended
    assert check(mended) is None


pieces = st.sampled_from([call("a"), call("b"), result("a"), result("b"), HELLO])
conversations = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["user", "assistant"]),
        content=st.lists(pieces, min_size=1, max_size=4).map(tuple),
    ),
    max_size=6,
).map(tuple)


@given(conversations)
def test_every_repair_is_sound_and_final(conversation: tuple[Message, ...]) -> None:
    mended = repair(conversation)
    assert check(mended) is None
    assert repair(mended) is mended


@given(conversations)
def test_no_text_is_lost_in_a_repair(conversation: tuple[Message, ...]) -> None:
    def texts(messages: tuple[Message, ...]) -> int:
        return sum(block == HELLO for message in messages for block in message.content)

    assert texts(repair(conversation)) == texts(conversation)


class CountedId(str):
    """An id that counts how often it is compared with another."""

    __slots__ = ()
    __hash__ = str.__hash__
    compared: ClassVar[Counter[str]] = Counter()

    def __eq__(self, other: object) -> bool:
        self.compared["times"] += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("broken", [False, True])
def test_ids_are_not_compared_with_all_others(broken: bool) -> None:
    count = 1_000
    calls = [call(CountedId(f"c{number}")) for number in range(count)]
    results = [result(CountedId(f"c{number}")) for number in range(count - broken)]
    conversation = (user_text("go"), said(*calls), told(*results))
    CountedId.compared.clear()
    repaired = repair(conversation)
    assert CountedId.compared["times"] <= 20 * count
    assert (repaired is conversation) != broken


@pytest.mark.parametrize("last", [(), (said(call("a")),)], ids=["sound", "broken"])
def test_a_long_conversation_is_repaired_in_steps(last: tuple[Message, ...]) -> None:
    conversation = SOUND[:3] * 1_000 + last
    steps = repairing(conversation)
    assert len(list(steps)) >= (1 + bool(last)) * 5
    assert list(repairing(SOUND)) == []
