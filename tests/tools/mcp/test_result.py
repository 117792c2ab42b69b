"""What servers answer, as blocks that models can take."""

from __future__ import annotations

import json

import mcp_types
import pytest

from callboard.domain.block import DocumentBlock, ImageBlock, OpaqueBlock, ResultContent, TextBlock
from callboard.domain.tools import ToolOutcome
from callboard.tools.mcp.result import outcome_of


def outcome(*content: dict[str, object], **more: object) -> ToolOutcome:
    return outcome_of(mcp_types.CallToolResult.model_validate({"content": list(content), **more}))


def resource(mime: str, **more: object) -> dict[str, object]:
    return {"type": "resource", "resource": {"uri": "file:///a", "mimeType": mime, **more}}


LINK = {"type": "resource_link", "uri": "file:///a", "name": "a", "description": "What it is"}


@pytest.mark.parametrize(
    "content, block",
    [
        ({"type": "text", "text": "hi"}, TextBlock),
        ({"type": "image", "data": "AAAA", "mimeType": "image/png"}, ImageBlock),
        ({"type": "image", "data": "AAAA", "mimeType": "IMAGE/JPEG; q=1"}, ImageBlock),
        (
            {"type": "image", "data": "AAAA", "mimeType": "image/x-odd"},
            "[image of type image/x-odd, 3 bytes]",
        ),
        ({"type": "image", "data": "ü", "mimeType": "image/png"}, "[image that cannot be read]"),
        ({"type": "audio", "data": "AAAA", "mimeType": "audio/mpeg"}, OpaqueBlock),
        ({"type": "audio", "data": "AAAA", "mimeType": "audio/ogg"}, "[audio of type audio/ogg, 3 bytes]"),
        (resource("text/plain", text="inside"), DocumentBlock),
        (resource("application/pdf", blob="AAAA"), DocumentBlock),
        (resource("image/webp", blob="AAAA"), ImageBlock),
        (resource("x/y", blob="AAAA"), "[resource file:///a of type x/y, 3 bytes]"),
        (LINK, "[resource a, file:///a: What it is]"),
    ],
)
def test_each_kind_becomes_what_a_model_can_take(
    content: dict[str, object], block: type[ResultContent] | str
) -> None:
    (found,) = outcome(content).content
    if isinstance(block, str):
        assert found == TextBlock(text=block)
    else:
        assert isinstance(found, block)


def test_structured_content_is_shown_where_there_is_no_text() -> None:
    (alone,) = outcome(structuredContent={"a": [1]}).content
    assert isinstance(alone, TextBlock)
    assert json.loads(alone.text) == {"a": [1]}
    beside = outcome({"type": "text", "text": "one"}, structuredContent={"a": [1]})
    assert beside.content == (TextBlock(text="one"),)


def test_nothing_is_said_in_words() -> None:
    assert outcome().content == (TextBlock(text="[tool call successful, but no output]"),)
    assert outcome({"type": "text", "text": " "}).content == outcome().content
    wrong = outcome(isError=True)
    assert wrong.is_error
    assert wrong.content == (TextBlock(text="[tool call failed, and did not say why]"),)


def test_half_a_character_is_none() -> None:
    (block,) = outcome_of(
        mcp_types.CallToolResult(content=[mcp_types.TextContent.model_construct(type="text", text="a\ud800")])
    ).content
    assert block == TextBlock(text="a?")
