"""What the model is told a tool call came to."""

import pytest

from callboard.domain.block import Base64Source, ImageBlock, ResultContent, TextBlock, ToolResultBlock
from callboard.domain.tools import ToolOutcome, failed
from callboard.providers.tool_results import system_note, tool_result

IMAGE = ImageBlock(source=Base64Source(media_type="image/jpeg", data="/9j/"))
NOTHING = TextBlock(text="system: Tool returned no output.")


@pytest.mark.parametrize(
    "content, expected",
    [
        pytest.param((TextBlock(text="4"),), (TextBlock(text="4"),), id="text"),
        pytest.param(
            (TextBlock(text="a"), IMAGE, TextBlock(text="b")),
            (TextBlock(text="a"), IMAGE, TextBlock(text="b")),
            id="order is kept",
        ),
        pytest.param((), (NOTHING,), id="nothing"),
        pytest.param((TextBlock(text=""),), (NOTHING,), id="empty text"),
        pytest.param((TextBlock(text=""), IMAGE), (IMAGE,), id="empty text beside an image"),
        pytest.param(
            (TextBlock(text="out"), system_note("restarted")),
            (TextBlock(text="<system>restarted</system>\nout"),),
            id="a note goes in front",
        ),
        pytest.param(
            (system_note("a"), system_note("b"), IMAGE),
            (TextBlock(text="<system>a</system>\n<system>b</system>\n"), IMAGE),
            id="notes before an image",
        ),
        pytest.param(
            (system_note("slow"),),
            (TextBlock(text="<system>slow</system>\nsystem: Tool returned no output."),),
            id="only a note",
        ),
    ],
)
def test_an_outcome_becomes_content_that_is_never_empty(
    content: tuple[ResultContent, ...], expected: tuple[ResultContent, ...]
) -> None:
    result = tool_result("call_1", ToolOutcome(content=content))
    assert result == ToolResultBlock(tool_use_id="call_1", content=expected, is_error=False)


def test_a_failed_call_is_marked_as_an_error() -> None:
    result = tool_result("call_1", failed("no such city"))
    assert result == ToolResultBlock(
        tool_use_id="call_1", content=(TextBlock(text="no such city"),), is_error=True
    )
