"""Messages as items: nothing that the dialect can say is lost on the way."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from callboard.domain.arguments import tool_use
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    FileSource,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    ResultContent,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    UrlSource,
)
from callboard.domain.message import Message, user_text
from callboard.domain.model import ModelTraits
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.outgoing import IN_THE_OPEN, encode_items, system_items
from callboard.wire.openai_responses.phase import PHASE
from callboard.wire.openai_responses.request import decode_request

PNG = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
WEB = ImageBlock(source=UrlSource(url="https://example.org/a.png"), extra={"detail": Raw(b'"low"')})
FILE = ImageBlock(source=FileSource(file_id="file-1"))
PDF = DocumentBlock(source=Base64Source(media_type="application/pdf", data="aGk="), title="a.pdf")
PNG_PART = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
SOUND = Raw(b'{"type":"input_audio","input_audio":{"data":"x","format":"wav"}}')
RS_1 = {"id": Raw(b'"rs_1"')}


def wire(*messages: Message) -> object:
    return msgspec.json.decode(msgspec.json.encode(encode_items(messages)))


def domain(items: object) -> tuple[Message, ...]:
    return decode_request(msgspec.json.encode({"model": "m", "input": items})).request.messages


def user(*content: Block) -> Message:
    return Message(role="user", content=content)


def assistant(*content: Block) -> Message:
    return Message(role="assistant", content=content)


def text(words: str) -> TextBlock:
    return TextBlock(text=words)


def result(*content: ResultContent, is_error: bool = False) -> Message:
    return user(ToolResultBlock(tool_use_id="c1", content=content, is_error=is_error))


def said(role: str, content: object, **more: object) -> dict[str, object]:
    return {"type": "message", "role": role, "content": content, **more}


@pytest.mark.parametrize(
    "message, output",
    [
        pytest.param(result(text("4")), "4", id="text"),
        pytest.param(
            result(text("4"), text("5")),
            [{"type": "input_text", "text": "4"}, {"type": "input_text", "text": "5"}],
            id="many texts",
        ),
        pytest.param(result(), "", id="empty"),
        pytest.param(result(PNG), [PNG_PART], id="image"),
        pytest.param(
            result(text("two"), PNG), [{"type": "input_text", "text": "two"}, PNG_PART], id="text and image"
        ),
        pytest.param(result(text("no such city"), is_error=True), "Error: no such city", id="error"),
        pytest.param(result(is_error=True), "Error", id="error without words"),
    ],
)
def test_a_tool_result_is_told_in_full(message: Message, output: object) -> None:
    assert wire(message) == [{"type": "function_call_output", "call_id": "c1", "output": output}]


def test_blocks_keep_their_order_and_what_is_said_at_once_is_one_message() -> None:
    calls = assistant(text("look"), tool_use("a", "f", '{"x":1}'), text("and"), text("so"))
    answers = user(ToolResultBlock(tool_use_id="a", content=(text("1"),)), text("and?"), PNG)
    parts = [{"type": "output_text", "text": "and"}, {"type": "output_text", "text": "so"}]
    assert wire(user_text("hi"), calls, answers) == [
        said("user", "hi"),
        said("assistant", "look"),
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        said("assistant", parts),
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        said("user", [{"type": "input_text", "text": "and?"}, PNG_PART]),
    ]


def test_messages_of_different_phases_stay_apart() -> None:
    comment = TextBlock(text="a", extra={PHASE: Raw(b'"commentary"')})
    answer = TextBlock(text="b", extra={PHASE: Raw(b'"final_answer"')})
    assert wire(assistant(comment, answer)) == [
        said("assistant", "a", phase="commentary"),
        said("assistant", "b", phase="final_answer"),
    ]


@pytest.mark.parametrize(
    "thought, item",
    [
        (
            ThinkingBlock(thinking="hm", signature="enc", extra=RS_1),
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "enc",
            },
        ),
        (
            ThinkingBlock(thinking="", signature="enc"),
            {"type": "reasoning", "summary": [], "encrypted_content": "enc"},
        ),
        (
            RedactedThinkingBlock(data="enc", extra=RS_1),
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "enc"},
        ),
        (
            ThinkingBlock(thinking="hm", extra={**RS_1, IN_THE_OPEN: TRUE}),
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "hm"}],
            },
        ),
    ],
)
def test_reasoning_goes_back_as_it_came(thought: Block, item: object) -> None:
    assert wire(assistant(thought, text("so"))) == [item, said("assistant", "so")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param((ThinkingBlock(thinking="hm"), text("so")), id="a mere summary"),
        pytest.param((text("so"), ThinkingBlock(thinking="hm", signature="enc")), id="nothing follows"),
        pytest.param((text("so"), OpaqueBlock(type="x", raw=Raw(b'{"type":"x"}'))), id="unknown"),
    ],
)
def test_what_is_of_no_use_to_the_model_is_left_out(content: tuple[Block, ...]) -> None:
    assert wire(assistant(*content)) == [said("assistant", "so")]


def test_an_item_of_an_unknown_type_goes_as_it_came_and_where_it_stood() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "q"}}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}
    given = [said("user", "hi"), search, said("assistant", "so"), output]
    assert wire(*domain(given)) == given


def test_a_message_of_nothing_else_is_left_out() -> None:
    assert wire(assistant(RedactedThinkingBlock(data="enc"))) == []
    assert wire(user(OpaqueBlock(type="video_url", raw=Raw(b'{"type":"video_url"}')))) == []


@pytest.mark.parametrize(
    "block, part",
    [
        (PNG, PNG_PART),
        (WEB, {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"}),
        (FILE, {"type": "input_image", "file_id": "file-1"}),
        (PDF, {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}),
        (DocumentBlock(source=FileSource(file_id="file-1")), {"type": "input_file", "file_id": "file-1"}),
        (DocumentBlock(source=UrlSource(url="https://a")), {"type": "input_file", "file_url": "https://a"}),
        (
            OpaqueBlock(type="input_audio", raw=SOUND),
            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        ),
    ],
)
def test_what_is_more_than_text_is_a_part_and_comes_back(block: Block, part: object) -> None:
    assert wire(user(text("see"), block)) == [said("user", [{"type": "input_text", "text": "see"}, part])]
    assert domain(wire(user(text("see"), block))) == (user(text("see"), block),)


def test_a_document_of_text_is_told_as_text() -> None:
    document = DocumentBlock(source=TextSource(data="x"), title="t")
    assert wire(user(document)) == [said("user", "t\n\nx")]


def test_a_refusal_is_one() -> None:
    refused = TextBlock(text="no", extra={REFUSAL: TRUE})
    assert wire(assistant(refused)) == [said("assistant", [{"type": "refusal", "refusal": "no"}])]


@pytest.mark.parametrize("reasoning, role", [(False, "system"), (True, "developer")])
def test_instructions_come_in_the_role_the_model_wants(reasoning: bool, role: str) -> None:
    told = system_items((text("a"), text("b")), ModelTraits(reasoning=reasoning))
    assert list(msgspec.to_builtins(told)) == [said(role, "a"), said(role, "b")]


words = st.text(min_size=1, max_size=8)
texts = st.builds(TextBlock, text=words)
refusals = st.builds(TextBlock, text=words, extra=st.just({REFUSAL: TRUE}))
MEDIA: list[ImageBlock | DocumentBlock] = [
    PNG,
    WEB,
    FILE,
    PDF,
    DocumentBlock(source=UrlSource(url="https://a"), title="d"),
]
media = st.sampled_from(MEDIA)
ids = st.none() | st.just(RS_1)
thoughts = st.builds(ThinkingBlock, thinking=words, signature=words, extra=ids) | st.builds(
    RedactedThinkingBlock, data=words, extra=ids
)
arguments = st.sampled_from(["{}", '{"a":[1.50]}', "{"])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns in the order that providers demand, with thoughts, calls, results, images and documents."""
    messages: list[Message] = []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(
            Message(role="user", content=tuple(draw(st.lists(texts | media, min_size=1, max_size=4))))
        )
        names = [f"call_{turn}_{at}" for at in range(draw(st.integers(0, 3)))]
        spoken = draw(st.lists(texts | refusals | thoughts, max_size=3))
        calls = [tool_use(name, draw(words), draw(arguments)) for name in names]
        last = [] if calls else [draw(texts)]
        messages.append(Message(role="assistant", content=(*spoken, *calls, *last)))
        if names:
            answers = [
                ToolResultBlock(
                    tool_use_id=name,
                    content=(*draw(st.lists(texts, max_size=2)), *draw(st.lists(media, max_size=2))),
                )
                for name in names
            ]
            messages.append(
                Message(role="user", content=(*answers, *draw(st.lists(texts | media, max_size=2))))
            )
            messages.append(Message(role="assistant", content=(draw(texts),)))
    return tuple(messages)


@given(conversations())
def test_a_conversation_comes_back_whole_and_is_not_changed(conversation: tuple[Message, ...]) -> None:
    before = msgspec.json.encode(conversation)
    items = encode_items(conversation)
    assert msgspec.json.encode(conversation) == before
    assert domain(msgspec.json.decode(msgspec.json.encode(items))) == conversation
