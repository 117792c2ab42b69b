"""Redaction: what must not be in a line."""

from decimal import Decimal

import pytest

from callboard.secret import Secret
from callboard.telemetry.redaction import MAX_SEARCHED_CHARS, digest, is_secret_key, plain, redact_text


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "Authorization",
        "api_key",
        "x-api-key",
        "OPENAI_API_KEY",
        "Set-Cookie",
        "client_secret",
        "token",
    ],
)
def test_a_telling_key_loses_its_value(key: str) -> None:
    assert is_secret_key(key)
    assert plain(key, "anything") == "***"
    assert plain("headers", {key: "anything"}) == f"{key}=***"


@pytest.mark.parametrize("key", ["tokens", "tokens_in", "monkey", "keys", "model", "secretary"])
def test_other_keys_keep_theirs(key: str) -> None:
    assert plain(key, "anything") == "anything"


def test_a_secret_is_hidden_wherever_it_is() -> None:
    secret = Secret("sk-1")
    assert plain("model", secret) == "***"
    assert plain("headers", {"X-Team": secret, "n": 1}) == "X-Team=*** n=1"
    assert plain("list", ["a", secret]) == "a,***"


@pytest.mark.parametrize(
    "text,left",
    [
        ("GET https://api.example/v1/models?key=abc HTTP", "GET https://api.example/v1/models HTTP"),
        ("https://me:pass@api.example/v1#x", "https://api.example/v1"),
        ("https://me:p@ss@api.example/v1", "https://api.example/v1"),
        ("postgresql://u:pw@db/x and redis://:pw@r", "postgresql://db/x and redis://r"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("Incorrect key: sk-proj-abcdefgh1234.", "Incorrect key: sk ***."),
        ("A" * 128, "A" * 16 + "…(128 characters)"),
        ("see data:image/png;base64," + "iVBOR" * 40, "see data:image/png;b…(222 characters)"),
        ("bearer of news", "bearer of news"),
        ("a plain sentence, /v1/chat", "a plain sentence, /v1/chat"),
    ],
)
def test_text_loses_what_looks_like_a_secret(text: str, left: str) -> None:
    assert redact_text(text) == left


def test_values_that_are_no_text_become_plain() -> None:
    assert plain("a", None) is None
    assert plain("a", True) is True
    assert plain("a", 5) == 5
    assert plain("a", 10**5000) == hex(10**5000)
    assert plain("a", float("nan")) == "nan"
    assert plain("a", Decimal("1.5")) == Decimal("1.5")
    assert plain("a", b"bytes") == "bytes"
    assert plain("a", ValueError("what a user wrote")) == "ValueError"
    assert plain("a", ("x", 1)) == "x,1"


def test_only_as_much_is_searched_as_could_be_shown() -> None:
    text = ("a" * 20 + "://" + "b" * 100 + "@") * 100_000
    assert len(redact_text(text)) <= MAX_SEARCHED_CHARS


def test_content_is_known_by_its_size_and_hash() -> None:
    assert digest("hello") == digest(b"hello") == "[5 bytes, sha256 2cf24dba5fb0a30e]"
    assert digest("ü\ud800") != digest("ü")
