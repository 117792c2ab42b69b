"""Items as messages."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from callboard.domain.approval import Answer, Approval, answer_in, returned
from callboard.domain.block import (
    Base64Source,
    Block,
    DocumentBlock,
    FileSource,
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
from callboard.domain.item import instructions, lifted, together
from callboard.domain.message import Message
from callboard.errors import InvalidRequest, LocalWireError, NotFound
from callboard.wire.openai_chat.outgoing import REFUSAL, TRUE
from callboard.wire.openai_responses.compaction import FOREWORD, content_of
from callboard.wire.openai_responses.incoming import Conversation
from callboard.wire.openai_responses.items import encode_item
from callboard.wire.openai_responses.opaque import item_in

HELLO = TextBlock(text="hello")
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
CALLED = ToolUseBlock(id="c1", name="f", input=Raw(b'{"a": 1}'))
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
ANSWERED = ToolResultBlock(tool_use_id="c1", content=(TextBlock(text="42"),))
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}


def conversation(*items: object) -> Conversation:
    collected = Conversation()
    for index, item in enumerate(items):
        collected.add(Raw(json.dumps(item).encode()), f"input[{index}]")
    return collected


def user(*blocks: Block) -> Message:
    return Message(role="user", content=blocks)


def assistant(*blocks: Block) -> Message:
    return Message(role="assistant", content=blocks)


def part(**fields: object) -> dict[str, object]:
    return {"role": "user", "content": [fields]}


@pytest.mark.parametrize(
    "item, message",
    [
        ({"role": "user", "content": "hello"}, user(HELLO)),
        ({"type": "message", "role": "user", "content": "hello"}, user(HELLO)),
        (part(type="input_text", text="hello"), user(HELLO)),
        (part(type="text", text="hello"), user(HELLO)),
        (
            {**SAID, "content": [{"type": "output_text", "text": "hello", "annotations": []}]},
            assistant(HELLO),
        ),
        ({"role": "assistant", "content": "hello"}, assistant(HELLO)),
        (
            {"role": "assistant", "content": "hello", "phase": "commentary"},
            assistant(TextBlock(text="hello", extra={"phase": Raw(b'"commentary"')})),
        ),
        (
            {**SAID, "content": [{"type": "refusal", "refusal": "no"}]},
            assistant(TextBlock(text="no", extra={REFUSAL: TRUE})),
        ),
        (
            part(type="input_image", image_url="https://a/b.png", detail="low"),
            user(ImageBlock(source=UrlSource(url="https://a/b.png"), extra={"detail": Raw(b'"low"')})),
        ),
        (
            part(type="input_image", image_url="data:image/png;base64,AA=="),
            user(ImageBlock(source=Base64Source(media_type="image/png", data="AA=="))),
        ),
        (part(type="input_image", file_id="f1"), user(ImageBlock(source=FileSource(file_id="f1")))),
        (
            part(type="input_file", file_data="data:text/plain;base64,AA==", filename="n"),
            user(DocumentBlock(source=Base64Source(media_type="text/plain", data="AA=="), title="n")),
        ),
        (
            part(type="input_file", file_data="AA=="),
            user(DocumentBlock(source=Base64Source(media_type="application/pdf", data="AA=="))),
        ),
        (
            part(type="input_file", file_url="https://a"),
            user(DocumentBlock(source=UrlSource(url="https://a"))),
        ),
        (part(type="input_file", file_id="f1"), user(DocumentBlock(source=FileSource(file_id="f1")))),
        (
            part(type="input_audio", input_audio={"data": "AA==", "format": "wav"}),
            user(
                OpaqueBlock(
                    type="input_audio",
                    raw=Raw(b'{"type":"input_audio","input_audio":{"data": "AA==", "format": "wav"}}'),
                )
            ),
        ),
        (CALL, assistant(CALLED)),
        (
            {**CALL, "arguments": "{oops"},
            assistant(
                ToolUseBlock(
                    id="c1", name="f", input=Raw(b"{}"), extra={"invalid_arguments": Raw(b'"{oops"')}
                )
            ),
        ),
        (OUTPUT, user(ANSWERED)),
        ({**OUTPUT, "output": [{"type": "input_text", "text": "42"}]}, user(ANSWERED)),
        (
            {**OUTPUT, "output": [{"type": "input_image", "image_url": "https://a"}]},
            user(ToolResultBlock(tool_use_id="c1", content=(ImageBlock(source=UrlSource(url="https://a")),))),
        ),
        ({**OUTPUT, "output": ""}, user(ToolResultBlock(tool_use_id="c1"))),
        (
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
            assistant(ThinkingBlock(thinking="hm")),
        ),
        (
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "content": [{"type": "reasoning_text", "text": "so"}],
                "encrypted_content": "sig",
            },
            assistant(ThinkingBlock(thinking="so", signature="sig")),
        ),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": "xyz"},
            assistant(RedactedThinkingBlock(data="xyz")),
        ),
        (
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"},
            assistant(RedactedThinkingBlock(data="xyz", extra={"id": Raw(b'"rs_1"')})),
        ),
        (
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": text} for text in ("why", "how")],
                "encrypted_content": "sig",
            },
            assistant(ThinkingBlock(thinking="why\n\nhow", signature="sig", extra={"id": Raw(b'"rs_1"')})),
        ),
    ],
)
def test_an_item_becomes_a_message(item: object, message: Message) -> None:
    assert conversation(item).messages == (message,)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": ""},
    ],
)
def test_what_says_nothing_to_the_model_is_left_out(item: object) -> None:
    assert conversation({"role": "user", "content": "hello"}, item).messages == (user(HELLO),)


@pytest.mark.parametrize(
    "item, role",
    [
        ({"type": "web_search_call", "id": "ws_1", "content": 3, "role": "none"}, "assistant"),
        ({"type": "acme:telemetry", "output": [1]}, "assistant"),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": "x"}, "user"),
        ({"type": "acme:approval_response", "approve": True}, "user"),
        ({"type": "mcp_approval_request", "id": "mcpr_682d498e3bd4", "name": "roll"}, "assistant"),
        ({"type": "compaction", "encrypted_content": "gAAAAA=="}, "assistant"),
    ],
)
def test_an_item_of_an_unknown_type_is_kept_as_it_came(item: dict[str, object], role: str) -> None:
    kept = conversation({"role": "user", "content": "hello"}, item).items[1]
    block = kept.content[0]
    assert kept.role == role
    assert isinstance(block, OpaqueBlock)
    assert json.loads(bytes(item_in(block))) == item
    assert decode_message(encode_message(kept)) == kept


def test_each_item_stays_one_and_instructions_stay_where_they_are() -> None:
    collected = conversation(
        {"role": "developer", "content": "one"},
        {"role": "user", "content": "hello"},
        {"role": "user", "content": "hello"},
        CALL,
        {**CALL, "call_id": "c2"},
    )
    assert collected.items == [
        instructions("developer", (TextBlock(text="one"),)),
        user(HELLO),
        user(HELLO),
        assistant(CALLED),
        assistant(ToolUseBlock(id="c2", name="f", input=Raw(b'{"a": 1}'))),
    ]
    assert together(lifted(tuple(collected.items))[1]) == collected.messages


def test_a_summary_of_ours_is_what_the_user_says() -> None:
    collected = conversation({"type": "compaction", "encrypted_content": content_of("They met.")})
    assert collected.messages == (user(TextBlock(text=f"{FOREWORD}They met.")),)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_leave_the_conversation_in_order(role: str) -> None:
    collected = conversation(
        {"role": role, "content": "one"},
        {"role": "user", "content": "hello"},
        {
            "role": role,
            "content": [{"type": "input_text", "text": "two"}, {"type": "input_text", "text": "three"}],
        },
    )
    assert [block.text for block in collected.system] == ["one", "two", "three"]
    assert collected.messages == (user(HELLO),)


def test_what_the_model_did_at_once_becomes_one_message_and_so_do_its_results() -> None:
    collected = conversation(
        {"role": "user", "content": "hello"},
        {"type": "reasoning", "summary": [{"text": "hm"}]},
        {**SAID, "content": [{"type": "output_text", "text": "hello"}]},
        CALL,
        {**CALL, "call_id": "c2"},
        OUTPUT,
        {**OUTPUT, "call_id": "c2"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello"},
    )
    called_again = ToolUseBlock(id="c2", name="f", input=Raw(b'{"a": 1}'))
    answered_again = ToolResultBlock(tool_use_id="c2", content=(TextBlock(text="42"),))
    assert collected.messages == (
        user(HELLO),
        assistant(ThinkingBlock(thinking="hm"), HELLO, CALLED, called_again),
        user(ANSWERED, answered_again, HELLO),
        assistant(HELLO),
    )


@pytest.mark.parametrize(
    "item, param",
    [
        ("hello", "input[1]"),
        ({"content": "hello"}, "input[1].type"),
        ({"role": "boss", "content": "hello"}, "input[1].role"),
        ({"role": "user"}, "input[1].content"),
        ({"role": "user", "content": 3}, "input[1].content"),
        ({"role": "user", "content": []}, "input[1].content"),
        (part(type="smell"), "input[1].content[0].type"),
        (part(type="input_text", text=3), "input[1].content[0].text"),
        (part(type="input_image"), "input[1].content[0]"),
        (part(type="input_file", filename="n"), "input[1].content[0]"),
        ({"role": "system", "content": [{"type": "input_image", "file_id": "f"}]}, "input[1].content"),
        ({**CALL, "call_id": ""}, "input[1].call_id"),
        ({"type": "function_call", "call_id": "c1"}, "input[1].name"),
        ({**OUTPUT, "output": None}, "input[1].output"),
        ({**OUTPUT, "output": [{"type": "input_file"}]}, "input[1].output[0]"),
        ({"type": "reasoning", "summary": "hm"}, "input[1].summary"),
    ],
)
def test_a_mistake_is_refused_with_its_place(item: object, param: str) -> None:
    with pytest.raises(LocalWireError) as refused:
        conversation({"role": "user", "content": "hello"}, item)
    assert refused.value.param == param


def test_items_that_are_not_kept_are_not_found() -> None:
    with pytest.raises(NotFound, match=r"input\[0\]"):
        conversation({"type": "item_reference", "id": "msg_1"})


def test_an_answer_to_another_servers_request_goes_where_that_one_went() -> None:
    asked = {"type": "mcp_approval_request", "id": "mcpr_682d498e3bd4", "name": "roll"}
    answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_682d498e3bd4", "approve": True}
    block = conversation(asked, answer).messages[1].content[0]
    assert isinstance(block, OpaqueBlock)
    assert json.loads(bytes(item_in(block))) == answer
    with pytest.raises(InvalidRequest, match="not found"):
        conversation(answer)


CALL_OF_OURS = {
    "type": "mcp_call",
    "id": "mcp_00ff_t1",
    "server_label": "desk",
    "name": "note",
    "arguments": '{"a":1}',
    "output": "ok",
    "error": None,
    "approval_request_id": None,
}


def test_a_call_of_our_servers_is_the_call_and_its_result_again() -> None:
    listed = {"type": "mcp_list_tools", "id": "mcpl_00ff_t0", "server_label": "desk", "tools": []}
    collected = conversation(listed, CALL_OF_OURS, {**SAID, "content": "Done."})
    call = ToolUseBlock(id="call_mcp_00ff_t1", name="desk__note", input=Raw(b'{"a":1}'))
    result = ToolResultBlock(tool_use_id=call.id, content=(TextBlock(text="ok"),))
    assert collected.messages == (assistant(call), user(result), assistant(TextBlock(text="Done.")))
    assert collected.listed == {"desk"}


def test_a_call_of_our_servers_that_failed_has_failed() -> None:
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]}
    (result,) = conversation({**CALL_OF_OURS, "output": None, "error": error}).messages[1].content
    assert result == ToolResultBlock(
        tool_use_id="call_mcp_00ff_t1", content=(TextBlock(text="no"),), is_error=True
    )


def test_calls_and_lists_of_others_are_kept_as_they_came() -> None:
    others = {**CALL_OF_OURS, "id": "mcp_682d437d90a88191"}
    block = conversation(others).messages[0].content[0]
    assert isinstance(block, OpaqueBlock)
    assert json.loads(bytes(item_in(block))) == others


def test_a_request_of_ours_is_the_call_again_and_its_answer_is_an_answer() -> None:
    mark = Approval(id=f"mcpr_00ff_a{'0' * 36}", server="desk", tool="note")
    asked = {
        "type": "mcp_approval_request",
        "id": mark.id,
        "server_label": "desk",
        "name": "note",
        "arguments": '{"a":1}',
    }
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": mark.id,
        "approve": False,
        "reason": "no",
    }
    collected = conversation(asked, answer)
    call, answered = (message.content[0] for message in collected.messages)
    assert call == returned(mark, '{"a":1}')
    assert answer_in(answered) == Answer(approval_request_id=mark.id, approve=False, reason="no")
    listed = [json.loads(bytes(encode_item("x", item).data)) for item in collected.items]
    assert listed == [{**asked, "id": "x"}, {**answer, "id": "x"}]
