"""Messages in both directions: nothing that the dialect can say is lost on the way."""

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
from callboard.wire.openai_chat.incoming import data_url
from callboard.wire.openai_chat.outgoing import encode_messages, system_messages
from callboard.wire.openai_chat.request import decode_request

PNG = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
JPEG = ImageBlock(source=Base64Source(media_type="image/jpeg", data="eW8="))
WEB = ImageBlock(source=UrlSource(url="https://example.org/a.png"))
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
JPEG_PART = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,eW8="}}


def wire(*messages: Message) -> object:
    return msgspec.json.decode(msgspec.json.encode(encode_messages(messages)))


def domain(document: object) -> tuple[Message, ...]:
    body = msgspec.json.encode({"model": "m", "messages": document})
    return decode_request(body).request.messages


def result(*content: ResultContent, is_error: bool = False) -> Message:
    block = ToolResultBlock(tool_use_id="c1", content=content, is_error=is_error)
    return Message(role="user", content=(block,))


def text(words: str) -> TextBlock:
    return TextBlock(text=words)


def label(count: int, name: str = "c1") -> dict[str, str]:
    return {"type": "text", "text": f"[{count} attached to tool result {name}]"}


@pytest.mark.parametrize(
    "message, content, attached",
    [
        pytest.param(result(text("4")), "4", None, id="text"),
        pytest.param(
            result(text("4"), text("5")),
            [{"type": "text", "text": "4"}, {"type": "text", "text": "5"}],
            None,
            id="many texts",
        ),
        pytest.param(result(), "", None, id="empty"),
        pytest.param(result(PNG), "", [label(1), PNG_PART], id="image"),
        pytest.param(
            result(text("two"), PNG, JPEG),
            "two",
            [label(2), PNG_PART, JPEG_PART],
            id="images with media types",
        ),
        pytest.param(result(text("no such city"), is_error=True), "Error: no such city", None, id="error"),
        pytest.param(
            result(text("Error: gone"), is_error=True), "Error: gone", None, id="error that says so"
        ),
        pytest.param(result(is_error=True), "Error", None, id="error without words"),
    ],
)
def test_a_tool_result_is_told_in_full(message: Message, content: object, attached: object) -> None:
    expected: list[object] = [{"role": "tool", "tool_call_id": "c1", "content": content}]
    if attached:
        expected.append({"role": "user", "content": attached})
    assert wire(message) == expected


def test_parallel_results_are_adjacent_and_what_else_was_said_comes_after_them() -> None:
    calls = Message(
        role="assistant", content=(text("look"), tool_use("a", "f", '{"x":1}'), tool_use("b", "g", "{}"))
    )
    answers = Message(
        role="user",
        content=(
            ToolResultBlock(tool_use_id="a", content=(text("1"), PNG)),
            ToolResultBlock(tool_use_id="b", content=(JPEG,)),
            text("and?"),
            WEB,
        ),
    )
    assert wire(calls, answers) == [
        {
            "role": "assistant",
            "content": "look",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {
            "role": "user",
            "content": [
                label(1, "a"),
                PNG_PART,
                label(1, "b"),
                JPEG_PART,
                {"type": "text", "text": "and?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        },
    ]


def test_thinking_is_left_out_and_leaves_no_empty_message() -> None:
    thought = ThinkingBlock(thinking="hm", signature="s")
    assert wire(
        Message(role="assistant", content=(thought, text("yes"))),
        Message(role="assistant", content=(RedactedThinkingBlock(data="x"),)),
        Message(role="user", content=(OpaqueBlock(type="later", raw=Raw(b'{"type":"later"}')),)),
    ) == [{"role": "assistant", "content": "yes"}]


def test_arguments_that_were_no_json_go_back_as_they_were() -> None:
    (message,) = domain(
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{x"}}],
            }
        ]
    )
    assert message.content == (tool_use("a", "f", "{x"),)
    assert wire(message) == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{x"}}],
        }
    ]


@pytest.mark.parametrize("reasoning, role", [(False, "system"), (True, "developer")])
def test_instructions_come_in_the_role_the_model_wants(reasoning: bool, role: str) -> None:
    told = system_messages((text("a"), text("b")), ModelTraits(reasoning=reasoning))
    assert list(msgspec.to_builtins(told)) == [{"role": role, "content": "a"}, {"role": role, "content": "b"}]


def test_instructions_leave_the_conversation_in_order() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        ],
    }
    request = decode_request(msgspec.json.encode(body)).request
    assert request.system == (text("a"), text("b"))
    assert request.messages == (user_text("hi"),)


def test_legacy_functions_are_paired_by_their_place() -> None:
    messages = domain(
        [
            {"role": "user", "content": "time?"},
            {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
            {"role": "function", "name": "now", "content": "noon"},
        ]
    )
    assert messages[1].content == (tool_use("call_function_1", "now", "{}"),)
    assert messages[2].content == (ToolResultBlock(tool_use_id="call_function_1", content=(text("noon"),)),)


@pytest.mark.parametrize(
    "document",
    [
        [{"role": "user", "content": "a", "name": "ann"}, {"role": "user", "content": "b"}],
        [{"role": "assistant", "refusal": "no"}],
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}],
            }
        ],
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}}]}],
        [
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}}],
            }
        ],
        [{"role": "user", "content": ""}],
    ],
)
def test_messages_of_the_dialect_come_back_as_they_were(document: object) -> None:
    assert wire(*domain(document)) == document


def test_fields_we_do_not_know_are_kept_and_told_to_nobody() -> None:
    (message,) = domain([{"role": "assistant", "content": "a", "prefix": True}])
    assert message.extra == {"prefix": Raw(b"true")}
    assert wire(message) == [{"role": "assistant", "content": "a"}]
    (message,) = domain([{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}])
    assert message.content == (TextBlock(text="a", extra={"cache_control": Raw(b"{}")}),)


@pytest.mark.parametrize(
    "document, expected",
    [
        (DocumentBlock(source=TextSource(data="x"), title="t"), {"type": "text", "text": "t\n\nx"}),
        (
            DocumentBlock(source=UrlSource(url="https://example.org/d.pdf"), title="d"),
            {"type": "text", "text": "[document d: https://example.org/d.pdf]"},
        ),
        (ImageBlock(source=FileSource(file_id="f")), {"type": "file", "file": {"file_id": "f"}}),
    ],
)
def test_what_the_dialect_cannot_point_at_is_told_in_another_way(document: Block, expected: object) -> None:
    message = Message(role="user", content=(PNG, document))
    assert wire(message) == [{"role": "user", "content": [PNG_PART, expected]}]


@pytest.mark.parametrize(
    "url, expected",
    [
        ("data:image/png;base64,aGk=", Base64Source(media_type="image/png", data="aGk=")),
        ("DATA:image/png;charset=x;BASE64,aGk=", Base64Source(media_type="image/png", data="aGk=")),
        ("data:text/plain,hi", None),
        ("https://example.org/data:image/png;base64,x", None),
    ],
)
def test_only_a_base64_data_url_is_taken_apart(url: str, expected: Base64Source | None) -> None:
    assert data_url(url) == expected


words = st.text(min_size=1, max_size=8)
texts = st.builds(TextBlock, text=words)
images = st.sampled_from([PNG, JPEG, WEB])
spoken = st.lists(texts | images, min_size=1, max_size=4)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns in the order that providers demand, with calls, results and images."""
    messages: list[Message] = []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", content=tuple(draw(spoken))))
        names = [f"call_{turn}_{at}" for at in range(draw(st.integers(0, 3)))]
        said = draw(st.lists(texts, min_size=0 if names else 1, max_size=2))
        calls = [
            tool_use(name, draw(words), draw(st.sampled_from(["{}", '{"a":[1.50]}', "{"]))) for name in names
        ]
        messages.append(Message(role="assistant", content=(*said, *calls)))
        if names:
            answers = [
                ToolResultBlock(
                    tool_use_id=name,
                    content=(*draw(st.lists(texts, max_size=2)), *draw(st.lists(images, max_size=2))),
                )
                for name in names
            ]
            messages.append(
                Message(role="user", content=(*answers, *draw(st.lists(texts | images, max_size=2))))
            )
            messages.append(Message(role="assistant", content=(draw(texts),)))
    return tuple(messages)


@given(conversations())
def test_a_conversation_comes_back_whole_and_is_not_changed(conversation: tuple[Message, ...]) -> None:
    before = msgspec.json.encode(conversation)
    body = msgspec.json.encode({"model": "m", "messages": encode_messages(conversation)})
    assert msgspec.json.encode(conversation) == before
    assert decode_request(body).request.messages == conversation


def test_many_attachments_find_their_results_in_order() -> None:
    answers = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("c1", "c2")]
    images = [(PNG_PART, JPEG_PART)[n % 3 == 0] for n in range(2_000)]
    parts = [each for n, image in enumerate(images) for each in (label(1, f"c{n % 2 + 1}"), image)]
    rest = {"type": "text", "text": "and this"}
    [message] = domain([*answers, {"role": "user", "content": [*parts, rest]}])
    first, second, last = message.content
    assert isinstance(first, ToolResultBlock)
    assert isinstance(second, ToolResultBlock)
    media = [(PNG, JPEG)[n % 3 == 0] for n in range(2_000)]
    assert first.content == (text("c1"), *media[::2])
    assert second.content == (text("c2"), *media[1::2])
    assert last == text("and this")
