"""What is left of a conversation that is longer than a model's window."""

from __future__ import annotations

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from callboard.domain.budget import HEAD, LONG_TEXT, TAIL, fitting, prompt_budget
from callboard.domain.estimate import DEFAULT_OUTPUT_TOKENS, messages_tokens, prompt_tokens
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, text_of, tool_results, user_text
from callboard.domain.model import ModelTraits
from callboard.domain.pairing import check, repair
from callboard.domain.tools import ToolDefinition
from callboard.errors import ContextTooLong
from tests.domain import conversations

TOOL = ToolDefinition(name="look", description="Look around", input_schema=Raw(b'{"type":"object"}'))
IMAGE = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
DOCUMENT = DocumentBlock(source=Base64Source(media_type="application/pdf", data="aGk="), title="Report")


def said(*blocks: Block) -> Message:
    return Message(role="assistant", content=blocks)


def told(*blocks: Block) -> Message:
    return Message(role="user", content=blocks)


def text(words: str) -> TextBlock:
    return TextBlock(text=words)


def call(name: str) -> ToolUseBlock:
    return ToolUseBlock(id=name, name="look", input=Raw(b"{}"))


def result(name: str, *content: TextBlock | ImageBlock | DocumentBlock) -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=name, content=content or (text("seen"),))


def asking(*messages: Message) -> GenerationRequest:
    return GenerationRequest(model="m", messages=messages, system=(text("Be brief."),), tools=(TOOL,))


def fixed_tokens() -> int:
    return prompt_tokens(asking())


def latest_turn(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """From the user's last words on, as they stand once results of a turn that has gone are left out."""
    words = [
        at
        for at, message in enumerate(messages)
        if message.role == "user" and len(tool_results(message)) < len(message.content)
    ]
    start = words[-1] if words else 0
    return repair(messages[start:])


# --- properties ---------------------------------------------------------------------------------------

long_texts = st.builds(
    lambda word, count: text((word + " ") * count),
    st.sampled_from(["word", "é.", "日本"]),
    st.integers(0, 900),
)
unbroken = st.integers(LONG_TEXT - 2, LONG_TEXT * 3).map(lambda count: text("x" * count))
calls = st.sampled_from([call("a"), call("b"), call("c")])
results = st.builds(
    lambda name, content: result(name, *content),
    st.sampled_from("abc"),
    st.lists(long_texts | conversations.images, min_size=1, max_size=2),
)
blocks = st.one_of(conversations.blocks, long_texts, unbroken, calls, results)
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    content=st.lists(blocks, min_size=1, max_size=3).map(tuple),
)
sound_turns = st.builds(
    lambda words, name, found, answer: (told(words), said(call(name)), told(found(name)), said(answer)),
    long_texts,
    st.sampled_from("abc"),
    st.builds(
        lambda content: lambda name: result(name, *content), st.lists(long_texts, min_size=1, max_size=2)
    ),
    long_texts,
)
sound = st.lists(sound_turns, max_size=4).map(lambda turns: sum(turns, ()))
requests = st.one_of(st.lists(messages, max_size=8).map(tuple), sound).map(lambda each: asking(*each))
shares = st.integers(0, 110)


def share_of(request: GenerationRequest, percent: int) -> int:
    """A budget between the least that is possible and a little more than everything."""
    mended = repair(request.messages)
    least = prompt_tokens(replace(request, messages=latest_turn(mended)))
    most = prompt_tokens(replace(request, messages=mended))
    return least + (most - least) * percent // 100


@given(requests, shares)
def test_what_comes_back_fits_is_sound_and_ends_with_the_latest_turn(
    request: GenerationRequest, percent: int
) -> None:
    budget = share_of(request, percent)
    sent = fitting(request, budget)
    latest = latest_turn(repair(request.messages))
    assert prompt_tokens(sent) <= budget
    assert check(sent.messages) is None
    # The first message of the turn may bring results of the one before, where that is still there.
    assert sent.messages[len(sent.messages) - len(latest) + 1 :] == latest[1:]
    assert latest_turn(sent.messages) == latest
    assert replace(sent, messages=()) == replace(request, messages=())


@given(requests, shares)
def test_what_fits_is_left_alone(request: GenerationRequest, percent: int) -> None:
    budget = share_of(request, percent)
    sent = fitting(request, budget)
    assert fitting(sent, budget) is sent


@given(requests, shares)
def test_the_same_is_sent_each_time_and_nothing_given_is_changed(
    request: GenerationRequest, percent: int
) -> None:
    before = copy.deepcopy(request)
    budget = share_of(request, percent)
    assert fitting(request, budget) == fitting(before, budget)
    assert request == before


@given(requests, shares, shares)
def test_a_larger_budget_never_keeps_less(request: GenerationRequest, one: int, other: int) -> None:
    few, many = (fitting(request, share_of(request, each)).messages for each in sorted((one, other)))
    assert messages_tokens(few) <= messages_tokens(many)
    assert len(few) <= len(many)
    for less, more in zip(reversed(few), reversed(many), strict=False):
        assert less.role == more.role
        kept = {
            block.text
            for block in less.content
            if isinstance(block, TextBlock) and "cut here]" not in block.text
        }
        assert kept <= {block.text for block in more.content if isinstance(block, TextBlock)}


@given(requests)
def test_only_what_cannot_be_left_out_is_refused(request: GenerationRequest) -> None:
    least = share_of(request, 0)
    fitting(request, least)
    with pytest.raises(ContextTooLong, match=rf"has about {least} tokens .* room for {least - 1}\."):
        fitting(request, least - 1)


@given(sound, shares)
def test_older_turns_are_abbreviated_before_any_is_dropped(
    conversation: tuple[Message, ...], percent: int
) -> None:
    request = asking(*conversation)
    sent = fitting(request, share_of(request, percent)).messages
    assume(len(sent) < len(conversation))
    for message in sent[: -len(latest_turn(sent))]:
        found = [block for each in tool_results(message) for block in each.content]
        assert all(
            len(block.text) <= LONG_TEXT
            for block in (*message.content, *found)
            if isinstance(block, TextBlock)
        )


# --- cases --------------------------------------------------------------------------------------------

LONG = "This sentence of eight words has ended. " * 200


def kept(sent: GenerationRequest) -> list[str]:
    return [text_of(message.content) for message in sent.messages]


def test_nothing_is_done_to_a_conversation_that_fits() -> None:
    for request in (asking(), asking(user_text(LONG), said(text("Yes.")), user_text("Why?"))):
        assert fitting(request, prompt_tokens(request)) is request


def test_a_broken_conversation_that_fits_is_mended() -> None:
    sent = fitting(asking(user_text("go"), said(call("a"))), 1000)
    assert check(sent.messages) is None


def test_the_oldest_long_text_is_cut_first_to_whole_sentences_and_words() -> None:
    request = asking(
        user_text(LONG), said(text(LONG)), user_text(LONG), said(text("Yes.")), user_text("Why?")
    )
    sent = fitting(request, prompt_tokens(request) - 1)
    first, answer, second, *rest = kept(sent)
    head, mark, tail = first.split("\n")
    assert head.endswith("ended.")
    assert LONG.startswith(head)
    assert LONG.endswith(" " + tail)
    assert mark == f"[{len(LONG) - len(head) - len(tail)} characters were cut here]"
    assert len(head) + len(tail) <= HEAD + TAIL
    assert answer == first
    assert [second, *rest] == [LONG, "Yes.", "Why?"]


@pytest.mark.parametrize(
    "block, left",
    [
        pytest.param(IMAGE, text("[an image was cut here]"), id="image"),
        pytest.param(DOCUMENT, text("[a document was cut here]"), id="document"),
        pytest.param(
            result("a", IMAGE), result("a", text("[an image was cut here]")), id="image in a result"
        ),
        pytest.param(
            result("a", text("x" * 5000), text("short")),
            result(
                "a",
                text(f"{'x' * HEAD}\n[{5000 - HEAD - TAIL} characters were cut here]\n{'x' * TAIL}"),
                text("short"),
            ),
            id="long result",
        ),
        pytest.param(text("x" * LONG_TEXT), text("x" * LONG_TEXT), id="no long text"),
    ],
)
def test_old_bulk_gives_way(block: Block, left: Block) -> None:
    request = asking(
        user_text("look"),
        said(call("a")),
        told(block),
        said(text("Seen.")),
        user_text(LONG),
        user_text("And?"),
    )
    whole = repair(request.messages)
    sent = fitting(request, prompt_tokens(replace(request, messages=whole)) - 100)
    assert left in sent.messages[2].content
    assert block == left or block not in sent.messages[2].content


def test_the_latest_turn_keeps_its_bulk() -> None:
    latest = (told(text(LONG), IMAGE), said(call("a")), told(result("a", text(LONG), IMAGE)))
    request = asking(user_text("before"), said(text("Yes.")), *latest)
    assert fitting(request, prompt_tokens(request) - 1).messages == latest


def test_whole_turns_are_dropped_oldest_first() -> None:
    turns = [(user_text(f"question {number}"), said(text(f"answer {number}"))) for number in range(4)]
    request = asking(*(message for turn in turns for message in turn), user_text("now?"))
    everything = prompt_tokens(request)
    each = messages_tokens(turns[0])
    for gone in range(5):
        sent = fitting(request, everything - each * gone)
        assert kept(sent) == kept(request)[2 * gone :]
        if gone:
            assert kept(fitting(request, everything - each * gone + each - 1)) == kept(sent)


def test_a_turn_goes_with_all_its_tool_calls() -> None:
    request = asking(
        user_text("look"),
        said(call("a"), call("b")),
        told(result("a"), result("b")),
        said(call("c")),
        told(result("c")),
        said(text("Seen.")),
        user_text("And?"),
    )
    assert kept(fitting(request, prompt_tokens(request) - 1)) == ["And?"]


def test_results_next_to_the_users_words_go_with_their_calls() -> None:
    request = asking(
        user_text("look"), said(call("a")), told(result("a"), text("never mind")), said(text("Yes."))
    )
    sent = fitting(request, prompt_tokens(request) - 1)
    assert sent.messages == (user_text("never mind"), said(text("Yes.")))


def test_the_latest_turn_may_take_of_the_answers_room_but_no_older_one() -> None:
    request = asking(user_text("before"), user_text("x" * 400))
    alone = replace(request, messages=request.messages[1:])
    least = prompt_tokens(alone)
    assert fitting(request, 10, window_tokens=prompt_tokens(request)) == alone
    assert fitting(alone, 10, window_tokens=least) == alone
    with pytest.raises(ContextTooLong, match=f"room for {least - 1}"):
        fitting(request, 10, window_tokens=least - 1)


def test_what_stands_before_the_users_first_words_is_the_first_to_go() -> None:
    request = asking(said(text("Welcome!")), user_text("hi"))
    assert kept(fitting(request, prompt_tokens(request) - 1)) == ["hi"]


def test_instructions_and_tools_count() -> None:
    with pytest.raises(ContextTooLong) as caught:
        fitting(asking(), fixed_tokens() - 1)
    assert caught.value.code == "context_length_exceeded"
    assert kept(fitting(asking(user_text("hi")), fixed_tokens() + messages_tokens([user_text("hi")]))) == [
        "hi"
    ]


@pytest.mark.parametrize(
    "window, limit, asked, budget",
    [
        pytest.param(None, 100, 100, None, id="unknown window"),
        pytest.param(10_000, None, None, 10_000 - DEFAULT_OUTPUT_TOKENS, id="nothing else known"),
        pytest.param(10_000, 1000, None, 9000, id="the model's limit"),
        pytest.param(10_000, 1000, 200, 9800, id="the request's"),
        pytest.param(10_000, 1000, 3000, 9000, id="the smaller of both"),
        pytest.param(8192, 8192, None, 4096, id="never more than half of the window"),
        pytest.param(1001, None, 5000, 501, id="nor of an odd one"),
    ],
)
def test_the_answers_room_comes_out_of_the_window(
    window: int | None, limit: int | None, asked: int | None, budget: int | None
) -> None:
    traits = ModelTraits(context_window=window, max_output_tokens=limit)
    assert prompt_budget(traits, asked) == budget
