"""Entries of [proxy] allow: what they let through, and how a mistake in one is told."""

from pathlib import Path

import pytest

from callboard.config import load, parse_allowed
from callboard.config.schema import ProxyConfig
from tests.config.files import lines_of, write

PROVIDERS = '[providers.p]\nkind = "openai"\n[providers.l]\nkind = "local"\n'


@pytest.mark.parametrize(
    "entry,method,segments,allowed",
    [
        ("GET /v1/files", "GET", ["v1", "files"], True),
        ("GET /v1/files", "HEAD", ["v1", "files"], True),
        ("GET /v1/files", "POST", ["v1", "files"], False),
        ("HEAD /v1/files", "GET", ["v1", "files"], False),
        ("HEAD /v1/files", "HEAD", ["v1", "files"], True),
        ("GET /v1/files", "GET", ["v1", "files", "a"], False),
        ("GET /v1/files", "GET", ["v1"], False),
        ("GET /v1/files", "GET", ["v1", "FILES"], False),
        ("GET /v1/files/*", "GET", ["v1", "files"], False),
        ("GET /v1/files/*", "GET", ["v1", "files", "a"], True),
        ("GET /v1/files/*", "GET", ["v1", "files", "a", "content"], True),
        ("GET /v1/files/*", "GET", ["v1", "filesystem", "a"], False),
        ("POST /*", "POST", ["x"], True),
    ],
)
def test_an_entry_allows_exactly_what_it_says(
    entry: str, method: str, segments: list[str], allowed: bool
) -> None:
    assert parse_allowed(entry).allows(method, segments) is allowed
    assert f"{parse_allowed(entry).method} {parse_allowed(entry).pattern}" == entry


PLAIN = 'expected a path of plain segments, of which the last may be "*"'
METHODS = "expected one of the methods DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


@pytest.mark.parametrize(
    "entry,fault",
    [
        ("", 'expected "METHOD /path"'),
        ("/v1/files", 'expected "METHOD /path"'),
        ("GET", 'expected "METHOD /path"'),
        ("GET v1/files", 'expected "METHOD /path"'),
        ("GET http://evil/v1", 'expected "METHOD /path"'),
        ("get /v1/files", METHODS),
        ("* /v1/files", METHODS),
        ("CONNECT /v1", METHODS),
        ("TRACE /v1", METHODS),
        ("GET /", PLAIN),
        ("GET //v1", PLAIN),
        ("GET /v1/", PLAIN),
        ("GET /v1/../x", PLAIN),
        ("GET /v1/./x", PLAIN),
        ("GET /v1/*/content", PLAIN),
        ("GET /v1/file*", PLAIN),
        ("GET /v1/a%2fb", PLAIN),
        ("GET /v1/files?x=1", PLAIN),
        ("GET /v1/a b", PLAIN),
        ("GET /v1/fïles", PLAIN),
        ("GET /v1/files\\n", PLAIN),
    ],
)
def test_an_entry_that_cannot_be_read_is_one_line(tmp_path: Path, entry: str, fault: str) -> None:
    text = f'{PROVIDERS}[proxy]\nupstream = "p"\nallow = ["GET /v1/ok", "{entry}"]\n'
    lines = lines_of(tmp_path, text)
    assert lines == [f'callboard.toml:7: [proxy] allow: "{entry}": {fault}']


@pytest.mark.parametrize(
    "body,line",
    [
        ("enabled = true", "5: [proxy] upstream: missing; name the provider that requests go to"),
        ('upstream = "q"', '6: [proxy] upstream: no provider "q"; known here: l, p'),
        (
            'upstream = "l"',
            '6: [proxy] upstream: the provider "l" has no URL that requests could go to',
        ),
        ('upsteam = "p"', '6: [proxy] upsteam: unknown key; did you mean "upstream"?'),
        ('allow = "GET /v1"', "6: [proxy] allow: expected a list, got a string"),
        ("enabled = 1", "6: [proxy] enabled: expected true or false, got a whole number"),
    ],
)
def test_a_section_that_cannot_work_is_one_line(tmp_path: Path, body: str, line: str) -> None:
    assert lines_of(tmp_path, f"{PROVIDERS}[proxy]\n{body}\n") == [f"callboard.toml:{line}"]


def test_the_proxy_is_off_unless_it_is_enabled(tmp_path: Path) -> None:
    write(tmp_path, PROVIDERS + '[proxy]\nupstream = "p"\nallow = ["GET /v1/files"]\n')
    assert load({}, environ={}, cwd=tmp_path).proxy == ProxyConfig()
    assert load(None, environ={}, cwd=tmp_path).proxy == ProxyConfig(
        enabled=False, upstream="p", allow=("GET /v1/files",)
    )
