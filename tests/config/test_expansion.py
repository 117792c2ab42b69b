"""``${NAME}``: replaced once, at any depth, and nothing else touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.config.expansion import escape, expand, expand_tree
from callboard.config.problems import Source

texts = st.text(alphabet=st.sampled_from("${}AB_ \\") | st.characters())
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(texts, st.dictionaries(names, st.text()))
def test_an_escaped_string_comes_back_in_any_environment(text: str, environ: dict[str, str]) -> None:
    assert expand(escape(text), environ) == text


@given(texts, names, texts, texts)
def test_a_reference_gives_the_value_unread(before: str, name: str, value: str, after: str) -> None:
    text = f"{escape(before)}|${{{name}}}|{escape(after)}"
    assert expand(text, {name: value}) == f"{before}|{value}|{after}"


@pytest.mark.parametrize(
    "text,line",
    [
        ("${NOPE}", "the environment has no variable NOPE"),
        ("${API_KYE}", 'the environment has no variable API_KYE; did you mean "API_KEY"?'),
        ("${}", '"" is not the name of a variable; write $${ for a plain ${'),
        ("${a b}", '"a b" is not the name of a variable; write $${ for a plain ${'),
    ],
)
def test_what_names_no_variable_is_told(text: str, line: str) -> None:
    with pytest.raises(LookupError) as caught:
        expand(text, {"API_KEY": "sk-1"})
    assert caught.value.args == (line,)


def test_what_is_no_reference_stays() -> None:
    assert expand("$A {A} ${A $$ ", {"A": "x"}) == "$A {A} ${A $$ "


def test_strings_are_expanded_at_any_depth_and_problems_have_their_place() -> None:
    tree = {"a": {"b": ["${X}", 1, {"c": "${Y}"}]}, "d": True}
    source = Source(label="f", lines={("a", "b", "c"): 4})
    expanded, found = expand_tree(tree, {"X": "x"}, source)
    assert expanded == {"a": {"b": ["x", 1, {"c": "${Y}"}]}, "d": True}
    assert [str(each) for each in found] == ["f:4: [a] b.c: the environment has no variable Y"]
    assert tree["a"] == {"b": ["${X}", 1, {"c": "${Y}"}]}
