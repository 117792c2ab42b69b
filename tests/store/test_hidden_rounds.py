"""Rounds that a stateless client never saw come back when it does."""

from __future__ import annotations

from msgspec import Raw

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.message import Message, user_text
from callboard.store.hidden_rounds import HiddenRounds

OURS = ToolUseBlock(id="own", name="add", input=Raw(b"{}"))
THEIRS = ToolUseBlock(id="theirs", name="shell", input=Raw(b"{}"))


def said(role: str, *blocks: TextBlock | ToolUseBlock | ToolResultBlock) -> Message:
    return Message(role="assistant" if role == "assistant" else "user", content=blocks)


def answered(call: ToolUseBlock) -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=call.id, content=(TextBlock(text="done"),))


PRODUCED = (said("assistant", OURS, THEIRS), said("user", answered(OURS)))
COMING_BACK = (user_text("go"), said("assistant", THEIRS), said("user", answered(THEIRS)))


def test_a_remembered_turn_takes_the_place_of_what_was_shown_of_it() -> None:
    hidden = HiddenRounds()
    hidden.remember(frozenset({"theirs"}), PRODUCED, key="k")
    assert hidden.restore(COMING_BACK, key="k") == (
        user_text("go"),
        said("assistant", OURS, THEIRS),
        said("user", answered(OURS), answered(THEIRS)),
    )


def test_somebody_elses_turn_is_not_restored() -> None:
    hidden = HiddenRounds()
    hidden.remember(frozenset({"theirs"}), PRODUCED, key="k")
    assert hidden.restore(COMING_BACK, key="other") == COMING_BACK


def test_only_the_most_recent_turns_are_remembered() -> None:
    hidden = HiddenRounds(max_turns=2)
    for name in ("a", "b", "theirs"):
        hidden.remember(frozenset({name}), PRODUCED, key="k")
    assert len(hidden) == 2
    assert hidden.restore(
        (said("assistant", ToolUseBlock(id="a", name="x", input=Raw(b"{}"))),), key="k"
    ) == (said("assistant", ToolUseBlock(id="a", name="x", input=Raw(b"{}"))),)
