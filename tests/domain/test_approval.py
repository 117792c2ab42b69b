"""Calls that wait for approval: their names, the answers to them, and what becomes of a conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.approval import (
    FORGOTTEN,
    NOT_APPROVED,
    VALID_S,
    Answer,
    Approval,
    Seal,
    Settled,
    answer_block,
    answer_in,
    approval_of,
    is_ours,
    marked,
    returned,
    returned_id,
    settled,
    touching,
    without_results,
)
from callboard.domain.block import OpaqueBlock, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.codec import decode_block, encode_block
from callboard.domain.item import own_id, owner_of, prefix_of
from callboard.domain.message import Message, text_of, tool_results, user_text
from callboard.domain.pairing import Messages, check, repair
from callboard.domain.steps import at_once
from callboard.errors import InvalidRequest
from callboard.store.hidden_rounds import joining

SEAL = Seal(secret=b"s" * 32, tenant="t")
AT_S = 1_700_000_000
CALL = ToolUseBlock(id="c1", name="note", input=Raw(b'{"text":"milk"}'))
HOME, ASKER = ("desk", "note"), ("resp_00ff", AT_S)
MARK = SEAL.mark(CALL, HOME, ASKER, 0)
WAITS = marked(CALL, MARK)
OTHER = marked(replace(CALL, id="c2"), SEAL.mark(CALL, HOME, ASKER, 1))


def said(*blocks: ToolUseBlock | TextBlock) -> Message:
    return Message(role="assistant", content=blocks)


def answer(call: ToolUseBlock = WAITS, approve: bool = True, reason: str | None = None) -> Message:
    mark = approval_of(call)
    assert mark is not None
    given = Answer(approval_request_id=mark.id, approve=approve, reason=reason)
    return Message(role="user", content=(answer_block(given),))


def result(call: ToolUseBlock = WAITS) -> Message:
    done = ToolResultBlock(tool_use_id=call.id, content=(TextBlock(text="done"),))
    return Message(role="user", content=(done,))


def whole(messages: Messages) -> Messages:
    """As it is sent; each call has one result."""
    sent = repair(at_once(joining(messages)))
    assert check(sent) is None
    return sent


def told(found: Settled) -> list[str]:
    return [text_of(each.content) for message in whole(found.messages) for each in tool_results(message)]


BEGUN = (user_text("go"), said(WAITS))


# --- names


def test_a_name_says_who_asks_and_is_found_by_it() -> None:
    assert is_ours(MARK.id)
    assert owner_of(MARK.id) == owner_of("msg_00ff_0")
    assert own_id(WAITS) == MARK.id
    assert (prefix_of(WAITS), prefix_of(CALL)) == ("mcpr", "fc")
    assert approval_of(CALL) is None
    assert approval_of(TextBlock(text="")) is None
    assert approval_of(OTHER) != MARK


@pytest.mark.parametrize("other", ["", "mcpr_682d498e3bd481", "fc_00ff_0", f"{MARK.id}0", MARK.id.upper()])
def test_other_names_are_not_ours(other: str) -> None:
    assert not is_ours(other)


def test_a_mark_survives_the_store() -> None:
    assert decode_block(encode_block(WAITS)) == WAITS
    block = answer().content[0]
    assert decode_block(encode_block(block)) == block
    assert answer_in(block) == Answer(approval_request_id=MARK.id, approve=True)
    assert answer_in(OpaqueBlock(type="other", raw=Raw(b"{}"))) is None


def test_a_request_that_is_given_back_is_good_for_a_day() -> None:
    back = returned(MARK, '{"text":"milk"}')
    assert (back.id, back.input) == (returned_id(MARK.id), CALL.input)
    SEAL.check(back, AT_S)
    SEAL.check(WAITS, AT_S + VALID_S - 1)
    with pytest.raises(InvalidRequest, match="too old"):
        SEAL.check(WAITS, AT_S + VALID_S)


@pytest.mark.parametrize(
    "change",
    [
        lambda mark: replace(mark, tool="other"),
        lambda mark: replace(mark, server="other"),
        lambda mark: replace(mark, id=mark.id.replace("00ff", "00fe")),
        lambda mark: replace(mark, id=mark.id.replace(f"{AT_S:08x}", f"{AT_S + 1:08x}")),
        lambda mark: replace(mark, id=f"{mark.id[:-1]}{'0' if mark.id[-1] != '0' else '1'}"),
        lambda mark: replace(mark, id="mcpr_other"),
    ],
)
def test_a_request_that_was_changed_or_made_up_is_none(change: Callable[[Approval], Approval]) -> None:
    with pytest.raises(InvalidRequest, match="not found"):
        SEAL.check(marked(CALL, change(MARK)), AT_S)


def test_arguments_tenant_and_secret_are_sealed_too() -> None:
    for seal, call in (
        (SEAL, marked(replace(CALL, input=Raw(b'{"text":"gin"}')), MARK)),
        (replace(SEAL, tenant="u"), WAITS),
        (replace(SEAL, secret=b"x" * 32), WAITS),
        (SEAL, CALL),
    ):
        with pytest.raises(InvalidRequest, match="not found"):
            seal.check(call, AT_S)


# --- settling


def test_what_is_approved_is_left_to_be_run() -> None:
    found = settled(BEGUN, (answer(),))
    assert (found.approved, found.answered) == ((WAITS,), (WAITS,))
    assert without_results(whole(found.messages), found.approved) == BEGUN


def test_what_is_refused_has_a_result_that_says_so() -> None:
    found = settled(BEGUN, (answer(approve=False, reason="too dear"), user_text("sorry")))
    assert (found.approved, found.answered) == ((), (WAITS,))
    assert told(found) == [f"{NOT_APPROVED} The reason given: too dear"]
    assert whole(found.messages)[-1].content[-1] == TextBlock(text="sorry")


def test_what_nobody_answers_is_not_approved() -> None:
    found = settled(BEGUN, (user_text("never mind"),))
    assert found.answered == ()
    assert told(found) == [NOT_APPROVED]


def test_each_call_is_answered_for_itself_in_whatever_order() -> None:
    history = (user_text("go"), said(WAITS, OTHER, replace(CALL, id="c3")), result(replace(CALL, id="c3")))
    found = settled(history, (answer(OTHER), answer(WAITS, approve=False)))
    assert found.approved == (OTHER,)
    left = without_results(whole(found.messages), found.approved)
    assert {each.tool_use_id for each in tool_results(left[-1])} == {"c1", "c3"}


def test_later_turns_find_the_result_where_it_was_kept() -> None:
    found = settled((*BEGUN, answer(), result(), said(TextBlock(text="Done."))), (user_text("and?"),))
    assert told(found) == ["done"]
    assert found.answered == ()


@pytest.mark.parametrize(
    "history, given, why",
    [
        ((*BEGUN, answer(), result()), (answer(),), "answered already"),
        ((*BEGUN, answer(approve=False)), (answer(),), "answered already"),
        ((*BEGUN, answer()), (answer(),), "answered already"),
        (BEGUN, (answer(), answer(approve=False)), "answered already"),
        ((*BEGUN, user_text("never mind"), said(TextBlock(text="Well."))), (answer(),), "gone on"),
        ((user_text("go"),), (answer(),), "not found"),
        (BEGUN, (answer(OTHER),), "not found"),
    ],
)
def test_an_answer_that_answers_nothing_is_refused(history: Messages, given: Messages, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        settled(history, given)


def test_where_a_turn_broke_off_its_call_may_have_been_run() -> None:
    found = settled((*BEGUN, answer()), (user_text("again"),))
    assert found.approved == ()
    (text,) = told(found)
    assert "interrupted" in text


def test_old_answers_in_what_a_client_sends_again_are_no_new_ones() -> None:
    given = (*BEGUN, answer(), said(TextBlock(text="Done.")), user_text("and?"))
    found = settled((), given)
    assert found.answered == ()
    assert told(found) == [FORGOTTEN]
    assert not any(answer_in(block) for message in found.messages for block in message.content)


def test_a_client_that_sends_everything_again_can_answer_at_the_end() -> None:
    found = settled((), (*BEGUN, answer()))
    assert found.approved == (WAITS,)


@pytest.mark.parametrize(
    "messages, touched",
    [((user_text("hi"), said(CALL), result()), False), (BEGUN, True), ((answer(),), True), ((), False)],
)
def test_most_conversations_have_nothing_to_settle(messages: Messages, touched: bool) -> None:
    assert at_once(touching(messages)) is touched
