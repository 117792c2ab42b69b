"""What a URL in the configuration is made of."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

NO_URL = "not a URL"


def parts_of(url: str) -> SplitResult | None:
    """The parts of a URL with a host; None where it is none, or could be read in two ways."""
    try:
        parts = urlsplit(url)
        fits = parts.port is None or parts.port > 0
    except ValueError:
        return None
    plain = url.isprintable() and url.isascii() and " " not in url
    return parts if plain and parts.hostname and fits else None
