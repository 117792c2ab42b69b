"""Parts of an answer: what was heard once is not said again, and what was left out is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.block import RedactedThinkingBlock, TextBlock, ThinkingBlock
from callboard.wire.openai_responses.upstream_parts import Part


def said(part: Part) -> str:
    return "".join(text for text, _ in part.waiting)


@given(st.text(), st.data())
def test_the_whole_adds_just_what_the_pieces_left_out(whole: str, data: st.DataObject) -> None:
    part = Part("text")
    at = data.draw(st.integers(0, len(whole)))
    part.add(whole[:at])
    part.fill(whole)
    part.fill(whole)
    assert said(part) == whole


def test_where_the_whole_differs_what_was_said_stays() -> None:
    part = Part("text")
    part.add("abc")
    part.fill("abd and more")
    assert said(part) == "abc"


def test_nothing_is_heard_after_the_end() -> None:
    part = Part("text")
    part.add("abc")
    part.done = True
    part.add("abc")
    assert said(part) == "abc"


def test_log_probabilities_are_kept_where_there_are_any() -> None:
    part = Part("text")
    part.add("a", Raw(b'[{"token":"a"}]'))
    part.add("b", Raw(b"[]"))
    part.add("", Raw(b"null"))
    assert part.waiting == [("a", Raw(b'[{"token":"a"}]')), ("b", None)]


def test_a_summary_has_paragraphs() -> None:
    part = Part("thinking")
    for at, text in ((0, "a"), (0, "b"), (1, "c"), (3, "d")):
        part.add_thought(text, in_the_open=False, paragraph=at)
    assert said(part) == "ab\n\nc\n\nd"


@pytest.mark.parametrize("first", [True, False])
def test_of_a_text_and_its_summary_the_first_is_heard(first: bool) -> None:
    part = Part("thinking")
    part.add_thought("", in_the_open=not first)
    part.add_thought("a", in_the_open=first)
    part.add_thought("b", in_the_open=not first)
    assert said(part) == "a"
    block = part.block("")
    assert isinstance(block, ThinkingBlock)
    assert (block.extra is not None) is first


def test_a_thought_that_says_nothing_is_what_is_encrypted_of_it() -> None:
    part = Part("thinking")
    assert part.redacted() is None
    part.signature, part.item_id = "enc", "rs_1"
    assert part.redacted() == RedactedThinkingBlock(data="enc", extra={"id": Raw(b'"rs_1"')})
    part.add_thought("a", in_the_open=False)
    assert part.redacted() is None


def test_a_call_is_ready_when_it_is_known_who_is_called() -> None:
    part = Part("call")
    part.add("{}")
    assert not part.ready
    part.name = "f"
    assert not part.ready
    part.call_id = "c"
    assert part.ready


def test_a_refusal_is_marked_and_a_phase_is_kept() -> None:
    part = Part("refusal")
    part.phase = "final_answer"
    extra = {"refusal": Raw(b"true"), "phase": Raw(b'"final_answer"')}
    assert part.block("") == TextBlock(text="", extra=extra)
