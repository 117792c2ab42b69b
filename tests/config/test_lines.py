"""The line index: the right line for every way in which TOML lets a key be written."""

import tomllib
from collections.abc import Iterator, Mapping

from hypothesis import given
from hypothesis import strategies as st

from callboard.config.lines import key_lines
from callboard.config.problems import KeyPath

TEXT = '''\
# [not.a.table]
title = "x = 1"  # y = 2
[server]
port = 1
[providers."a.b"]
headers.X-A = 'z = "'
"quoted key" = """
fake = 1
[fake]
a quote: \\""" and two more"""""
timeouts = { connect_s = 1, "idle_s" = 2, deep = { x = [1, 2] } }
after.a = [
  { one = 1 },  # ]
  { two = "}" },
  "]",
]
[ models . m ]
\'key\' = 2025-01-01T00:00:00Z
literal = \'\'\'
fake2 = 1
\'\'\'
1.5 = 2.5
[[list]]
item = 1
[[list]]
item = 2
last = 3'''

EXPECTED = {
    ("title",): 2,
    ("server",): 3,
    ("server", "port"): 4,
    ("providers",): 5,
    ("providers", "a.b"): 5,
    ("providers", "a.b", "headers"): 6,
    ("providers", "a.b", "headers", "X-A"): 6,
    ("providers", "a.b", "quoted key"): 7,
    ("providers", "a.b", "timeouts"): 11,
    ("providers", "a.b", "timeouts", "connect_s"): 11,
    ("providers", "a.b", "timeouts", "idle_s"): 11,
    ("providers", "a.b", "timeouts", "deep"): 11,
    ("providers", "a.b", "timeouts", "deep", "x"): 11,
    ("providers", "a.b", "after"): 12,
    ("providers", "a.b", "after", "a"): 12,
    ("providers", "a.b", "after", "a", "one"): 13,
    ("providers", "a.b", "after", "a", "two"): 14,
    ("models",): 17,
    ("models", "m"): 17,
    ("models", "m", "key"): 18,
    ("models", "m", "literal"): 19,
    ("models", "m", "1"): 22,
    ("models", "m", "1", "5"): 22,
    ("list",): 23,
    ("list", "item"): 24,
    ("list", "last"): 27,
}


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield (*path, key)
            yield from paths(each, (*path, key))
    elif isinstance(value, list):
        for each in value:
            yield from paths(each, path)


def test_each_way_to_write_a_key_is_followed() -> None:
    assert key_lines(TEXT) == EXPECTED
    assert set(paths(tomllib.loads(TEXT))) == set(EXPECTED)


def test_line_ends_of_windows_count_once() -> None:
    assert key_lines("a = 1\r\n\r\n[b]\r\nc = 2\r\n") == {("a",): 1, ("b",): 3, ("b", "c"): 4}


keys = st.text(alphabet="ab.[]{}=,#'\" -", min_size=1, max_size=4)
scalars = st.integers() | st.booleans() | st.text(alphabet="ab\n[]{}=,#'\"\\", max_size=6)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'''\n{value}'''" if "'" not in value else quoted(value)
        case list():
            return "[\n" + "".join(f"{toml(each)}, # ]}}\n" for each in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{quoted(key)} = {toml(each)}" for key, each in value.items()) + " }"
    return str(value)


@given(st.dictionaries(keys, trees, max_size=4))
def test_every_key_of_any_document_has_the_line_it_stands_on(tree: dict[str, object]) -> None:
    text = "".join(f"{quoted(key)} = {toml(value)}\n" for key, value in tree.items())
    lines = key_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    written = text.split("\n")
    for path, line in lines.items():
        assert f"{quoted(path[-1])} =" in written[line - 1]
