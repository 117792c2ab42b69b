"""Where a request that is passed on goes, and with which header fields."""

import pytest

from callboard.providers.forwarding import forwarded_headers, forwarded_url


@pytest.mark.parametrize(
    "base_url,path,query,url",
    [
        ("https://api.test/v1", "/v1/files", "", "https://api.test/v1/files"),
        ("https://api.test/v1", "/v1/files/a", "?x=/v1", "https://api.test/v1/files/a?x=/v1"),
        ("https://api.test/v1", "/tokenize", "", "https://api.test/tokenize"),
        ("https://api.test/v1", "/v1", "", "https://api.test/v1"),
        ("https://api.test/v1", "/v1beta/x", "", "https://api.test/v1beta/x"),
        ("https://api.test/v1beta/openai", "/v1/files", "", "https://api.test/v1beta/openai/files"),
        ("http://api.test:8000", "/v1/files", "?", "http://api.test:8000/files?"),
        ("http://api.test:8000", "/tokenize", "", "http://api.test:8000/tokenize"),
    ],
)
def test_our_v1_is_the_providers_base_url(base_url: str, path: str, query: str, url: str) -> None:
    assert forwarded_url(base_url, path, query) == url


def test_the_providers_own_fields_replace_the_clients() -> None:
    given = (("accept", "a/b"), ("openai-beta", "theirs"))
    own = (("openai-beta", "ours"), ("authorization", "Bearer k"))
    assert forwarded_headers(given, own) == (("accept", "a/b"), *own)
