"""What the model is told of a tool that does not exist."""

from callboard.domain.message import text_of
from callboard.tools.source import unknown_tool


def test_an_unknown_tool_is_answered_with_the_names_there_are() -> None:
    outcome = unknown_tool("wether", ["weather", "add"])

    assert outcome.is_error
    assert text_of(outcome.content) == (
        "There is no tool named 'wether'. The available tools are: add, weather."
    )


def test_an_unknown_tool_where_there_are_none_says_so() -> None:
    assert (
        text_of(unknown_tool("x", []).content) == "There is no tool named 'x'. There are no tools available."
    )
