"""What an OpenAI-compatible provider says in its headers about the limits it holds us to."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Lengths are bounded: a header is at most one line of a few digits, and int() of many is slow.
_COUNT = re.compile(r"[0-9]{1,15}")
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,4}}")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


class RateLimitHeaders(Struct, frozen=True, kw_only=True):
    """The provider's own view of its buckets for us; None where it sent nothing readable.

    Attributes:
        reset_requests_s: Seconds until the bucket of requests is full again; likewise for tokens.

    Source: OpenAI API, Rate limits, "Rate limits in headers".
    """

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


def parse_rate_limits(header: Callable[[str], str | None]) -> RateLimitHeaders:
    """Read them with ``header``, which gives the value of a lower-case name."""
    return RateLimitHeaders(
        limit_requests=_count(header("x-ratelimit-limit-requests")),
        remaining_requests=_count(header("x-ratelimit-remaining-requests")),
        reset_requests_s=_duration_s(header("x-ratelimit-reset-requests")),
        limit_tokens=_count(header("x-ratelimit-limit-tokens")),
        remaining_tokens=_count(header("x-ratelimit-remaining-tokens")),
        reset_tokens_s=_duration_s(header("x-ratelimit-reset-tokens")),
    )


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and _COUNT.fullmatch(value) else None


def _duration_s(value: str | None) -> float | None:
    """``6m0s``, ``120ms``, ``1h2m3.5s``; a bare number is seconds, as some compatible servers send."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    if not _DURATION.fullmatch(value):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
