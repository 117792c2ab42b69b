"""Targets as they are typed."""

from __future__ import annotations

import pytest

from callboard.bench.plan import Api, Target, endpoint, targets_of
from callboard.errors import ConfigurationError


@pytest.mark.parametrize(
    "url, api, expected",
    [
        ("http://host:1", "chat", "http://host:1/v1/chat/completions"),
        ("http://host:1/", "chat", "http://host:1/v1/chat/completions"),
        ("http://host/v1", "chat", "http://host/v1/chat/completions"),
        ("http://host/v1/", "responses", "http://host/v1/responses"),
        ("https://host/openai/v1", "responses", "https://host/openai/v1/responses"),
        ("http://host/v1/chat/completions", "chat", "http://host/v1/chat/completions"),
        ("http://host/responses", "responses", "http://host/responses"),
    ],
)
def test_a_base_url_becomes_an_endpoint(url: str, api: Api, expected: str) -> None:
    assert endpoint(url, api) == expected


def test_targets_are_called_by_their_name_or_else_their_host() -> None:
    named, unnamed = targets_of(["ours=http://127.0.0.1:8080", "https://api.example.com/v1?a=b"], "chat")
    assert named == Target(name="ours", url="http://127.0.0.1:8080/v1/chat/completions")
    assert unnamed.name == "api.example.com"


@pytest.mark.parametrize("word", ["ftp://host", "host:1", "http://user:secret@host/v1", "http://", ""])
def test_what_is_no_url_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="--url"):
        targets_of([word], "chat")


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"two targets are called host:1\b.*NAME=URL"):
        targets_of(["http://host:1", "http://host:1/v1"], "chat")
