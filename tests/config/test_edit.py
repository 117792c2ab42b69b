"""Values are set in a TOML text, and everything else in it stays as it is."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.config.edit import with_values
from callboard.errors import ConfigurationError

FILE = """\
# Ours.
[server]
host = "127.0.0.1"   # only here
  port=8080# and this port
queue = 5

# What we like best.
[models."gpt-4.1"]
provider = 'up' # quoted
"""


def test_a_value_is_replaced_on_its_line_and_its_comment_stays() -> None:
    values: dict[tuple[str, ...], str | int] = {
        ("server", "port"): 9000,
        ("server", "host"): "::1",
        ("models", "gpt-4.1", "provider"): "down",
    }
    assert with_values(FILE, values) == FILE.replace('"127.0.0.1" ', '"::1" ').replace(
        "8080", "9000"
    ).replace("'up'", '"down"')


def test_a_new_value_comes_below_the_others_of_its_table() -> None:
    changed = with_values(FILE, {("server", "drain_seconds"): 3, ("models", "gpt-4.1", "tools"): "x"})
    assert changed == FILE.replace("queue = 5\n", "queue = 5\ndrain_seconds = 3\n") + 'tools = "x"\n'


@pytest.mark.parametrize("text, gap", [("", ""), ("a = 1", "\n\n"), ("a = 1\n", "\n")])
def test_a_new_table_comes_at_the_end(text: str, gap: str) -> None:
    assert with_values(text, {("models", "a b", "provider"): "up"}) == (
        f'{text}{gap}[models."a b"]\nprovider = "up"\n'
    )


def test_lines_end_as_they_did() -> None:
    assert with_values("[server]\r\nport = 1\r\n", {("server", "port"): 2}) == "[server]\r\nport = 2\r\n"


def test_what_looks_like_a_table_within_a_text_is_left_alone() -> None:
    text = 'note = """\n[server]\nport = 1\n"""\n\n[server]\n'
    with pytest.raises(ConfigurationError, match="by hand"):
        with_values(text, {("server", "port"): 2})


@pytest.mark.parametrize(
    "text",
    [
        "server = { port = 1 }\n",
        "server = 1\n",
        "server.host = 'a'\n",
        "[server]\nport = [\n1,\n]\n",
        "[server]\nport = { a = 1 }\n",
        '[server]\nport = """\n1"""\n',
        "[[server]]\n",
    ],
)
def test_what_cannot_be_changed_safely_is_not(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[server\] port stands where it cannot be changed safely"):
        with_values(text, {("server", "port"): 2})


def test_what_is_no_toml_is_not_changed() -> None:
    with pytest.raises(ConfigurationError, match="not TOML"):
        with_values("[server\n", {("server", "port"): 2})


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["server", "a b", 'q"']), st.text(st.characters(codec="utf-8"), min_size=1)
        ),
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))),
        max_size=4,
    )
)
def test_what_is_set_is_read_again_or_refused(values: dict[tuple[str, ...], str | int]) -> None:
    try:
        changed = with_values(FILE, values)
    except ConfigurationError:
        return
    tree, before = tomllib.loads(changed), tomllib.loads(FILE)
    for (table, key), value in values.items():
        assert tree[table].pop(key) == value
        before.get(table, {}).pop(key, None)
    assert {name: table for name, table in tree.items() if table} == before
