"""The rate limits that a provider states in its headers."""

import pytest

from callboard.providers.rate_limit_headers import RateLimitHeaders, parse_rate_limits


def test_all_six_headers_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert parse_rate_limits(headers.get) == RateLimitHeaders(
        limit_requests=60,
        remaining_requests=59,
        reset_requests_s=1.0,
        limit_tokens=150_000,
        remaining_tokens=149_984,
        reset_tokens_s=360.0,
    )


def test_no_headers_say_nothing() -> None:
    headers: dict[str, str] = {}
    assert parse_rate_limits(headers.get) == RateLimitHeaders()


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("2.5", 2.5),
        ("0s", 0.0),
        ("", None),
        ("soon", None),
        ("-1s", None),
        ("1s ", None),
        ("1d", None),
        ("9" * 5000, None),
        ("1s" * 5000, None),
        ("nan", None),
    ],
)
def test_durations_are_read_or_ignored(value: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-reset-requests": value}
    assert parse_rate_limits(headers.get).reset_requests_s == seconds


@pytest.mark.parametrize("value", ["-1", "1.5", "", "x", "9" * 5000, "²"])
def test_counts_that_are_none_are_ignored(value: str) -> None:
    headers = {"x-ratelimit-limit-requests": value}
    assert parse_rate_limits(headers.get).limit_requests is None
