"""What begins a message and is meant for us."""

from __future__ import annotations

import pytest
from msgspec import Raw

from callboard.domain.block import Base64Source, ImageBlock, TextBlock
from callboard.domain.directives import Call, Directive, directed
from callboard.domain.message import Message, text_of, user_text
from callboard.domain.preferences import ModelPreferences, preferences_for

REASON = Directive(preferences=preferences_for("reasoning"))
FAST = Directive(preferences=ModelPreferences(speed=0.6, intelligence=0.4))


@pytest.mark.parametrize(
    "text, directive, rest",
    [
        ("reason: why?", REASON, "why?"),
        ("reason:why?", REASON, "why?"),
        ("reason:\n  why\nand how?", REASON, "why\nand how?"),
        ("fast: 17 + 25", FAST, "17 + 25"),
        ("quick: 17 + 25", FAST, "17 + 25"),
        ("use: o3-mini why?", Directive(model="o3-mini"), "why?"),
        ("use:o3-mini why?", Directive(model="o3-mini"), "why?"),
        ("model: acme/llama3:8b\nwhy?", Directive(model="acme/llama3:8b"), "why?"),
        ("reason: fast: why?", REASON, "fast: why?"),
    ],
)
def test_a_directive_is_taken_off(text: str, directive: Directive, rest: str) -> None:
    found = directed((user_text("use: x before"), user_text(text)))
    assert found == (directive, (user_text("use: x before"), user_text(rest)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "why?",
        "Reason: it broke",
        " reason: why?",
        "reason:",
        "reason:  ",
        "reasons: two",
        "use: o3",
        "use: ",
        "[reason: x",
        "use add",
        "use add {",
        "use add [1]",
        "use {} add",
        'Use add {"a": 1}',
        "use the {x} of it",
    ],
)
def test_what_is_no_directive_stays(text: str) -> None:
    assert directed((user_text(text),)) is None


def test_only_the_last_message_is_looked_at_and_only_if_it_is_the_users() -> None:
    assert directed(()) is None
    assert directed((user_text("fast: x"), user_text("y"))) is None
    assert directed((Message(role="assistant", content=(TextBlock(text="fast: x"),)),)) is None


def test_the_first_text_of_the_message_is_where_it_stands_and_all_else_stays() -> None:
    image = ImageBlock(source=Base64Source(media_type="image/png", data="aGk="))
    marked = TextBlock(text="fast: look", extra={"mark": Raw(b"1")})
    last = Message(role="user", content=(image, marked, TextBlock(text="use: x y")))
    found = directed((last,))
    assert found is not None
    assert found[0] == FAST
    assert found[1][0].content == (
        image,
        TextBlock(text="look", extra={"mark": Raw(b"1")}),
        TextBlock(text="use: x y"),
    )
    plain = Message(role="user", content=(TextBlock(text="look"), TextBlock(text="fast: x")))
    assert directed((plain,)) is None


def test_a_long_text_is_read_once() -> None:
    text = "reason: " + " " * 500_000
    assert directed((user_text(text),)) is None
    found = directed((user_text(text + "why?"),))
    assert found is not None
    assert text_of(found[1][0].content) == "why?"


@pytest.mark.parametrize(
    "text, name, arguments",
    [
        ('use add {"a": 1}', "add", '{"a": 1}'),
        ('use  files__read\n{"path":\n"}"} \n', "files__read", '{"path":\n"}"}'),
        ("use a-b {}", "a-b", "{}"),
        ("use add {not json}", "add", "{not json}"),
    ],
)
def test_a_user_runs_a_tool_with_the_arguments_as_he_writes_them(
    text: str, name: str, arguments: str
) -> None:
    messages = (user_text("before"), user_text(text))
    assert directed(messages) == (Directive(call=Call(name=name, arguments=arguments)), messages)


def test_many_braces_are_read_once() -> None:
    assert directed((user_text("use x {" + "} " * 200_000 + "x"),)) is None
