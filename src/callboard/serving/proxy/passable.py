"""Which header fields pass through the proxy, in either direction. No I/O.

Both ways it is a list of what may pass, never of what may not: a credential, a cookie or a field of the
connection's that nobody thought of stays behind.

Source: RFC 9110, 7.6.1 (fields that ``Connection`` names end here), 8.6 (no length on 204).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callboard.serving.exchange import Header

UPWARD = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        # What clients of Anthropic's need passed on unchanged; they are no credentials.
        b"anthropic-beta",
        b"anthropic-version",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"openai-beta",
        b"range",
    }
)
"""What of a request concerns whoever answers it."""

DOWNWARD = frozenset(
    {
        "accept-ranges",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
        "vary",
    }
)
"""What of an answer concerns whoever asked; no ``Location``: the client shall not be sent elsewhere."""

WITHOUT_LENGTH = frozenset({204, 304})

HARMLESS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)
"""What somebody uploaded there is no page of ours, even where a browser opens it."""


def upward(headers: Mapping[bytes, bytes]) -> tuple[tuple[str, str], ...]:
    """The fields of a client's request that go to the upstream."""
    here = _named(headers.get(b"connection", b"").decode("latin-1"))
    fields = (
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items() if name in UPWARD
    )
    return tuple(field for field in fields if field[0] not in here)


def downward(status: int, fields: Iterable[tuple[str, str]]) -> tuple[Header, ...]:
    """The fields of an upstream's answer that go to the client, and ours.

    Args:
        status: The answer's.
        fields: In order, names in lower case.
    """
    every = tuple(fields)
    here = _named(",".join(value for name, value in every if name == "connection"))
    lengths = [value for name, value in every if name == "content-length"]
    if status in WITHOUT_LENGTH or not (len(lengths) == 1 and lengths[0].isdecimal()):
        here |= {"content-length"}
    passing = ((name, value) for name, value in every if name in DOWNWARD and name not in here)
    return (*((name.encode(), value.encode("latin-1")) for name, value in passing), *HARMLESS)


def _named(connection: str) -> set[str]:
    """The fields that the value of ``Connection`` names."""
    return {each.strip().lower() for each in connection.split(",")}
