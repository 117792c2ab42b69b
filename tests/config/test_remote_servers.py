"""Where a client's request may name an MCP server."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.config.load import load, problems
from callboard.config.remote_servers import may_dial

ALLOWED = ("https://a.example/mcp*", "https://b.example/one", "http://c.example:8080/*")


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/mcp",
        "https://a.example/mcp/x?y=1",
        "https://b.example/one",
        "http://c.example:8080/any",
    ],
)
def test_what_an_entry_means_may_be_dialled(url: str) -> None:
    assert may_dial(url, ALLOWED)
    assert not may_dial(url, ())


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/other",
        "http://a.example/mcp",
        "https://a.example:444/mcp",
        "https://a.example.evil/mcp",
        "https://a.example@evil/mcp",
        "https://evil/https://a.example/mcp",
        "https://b.example/one/two",
        "https://b.example/one?x",
        "http://c.example:80801/x",
        "http://c.example:8080@evil/x",
        "https://a.example/mcp/../admin",
        "https://a.example/mcp/..",
        "https://a.example/mcp/%2E%2e/admin",
        "https://a.example/mcp%2fx",
        "https://a.example/mcp\\..\\admin",
        "https://a.example/mcp#x",
        "https://a.example/mcp\n",
        "ftp://a.example/mcp",
        "",
    ],
)
def test_nothing_else_may(url: str) -> None:
    assert not may_dial(url, ALLOWED)


@pytest.mark.parametrize(
    "entry, why",
    [
        ("a.example", "not a URL"),
        ("ftp://a.example/*", "expected a URL that begins with"),
        ("https://*", "behind the host's"),
        ("https://a.example*", "behind the host's"),
        ("https://*.example/x", "behind the host's"),
        ("https://a.example/*/x", "behind the host's"),
        ("https://u:p@a.example/*", "a user name or password"),
        ("https://a.example/x/../*", "expected a plain path"),
    ],
)
def test_an_entry_that_means_more_than_it_shows_is_refused(tmp_path: Path, entry: str, why: str) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text(f'[mcp]\nremote = ["{entry}"]\n')
    (found,) = problems(file, environ={}, cwd=tmp_path)
    assert "[mcp] remote" in str(found)
    assert why in str(found)
    assert not may_dial(entry.removesuffix("*"), (entry,))


def test_by_default_there_is_nowhere_to_go(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text("")
    assert load(file, environ={}, cwd=tmp_path).mcp.remote == ()
