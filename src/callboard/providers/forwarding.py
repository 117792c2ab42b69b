"""Where a request that is passed on goes, and with which header fields. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

API_ROOT = "/v1"
"""Our own API's root; what a provider's ``base_url`` is to the provider."""


def forwarded_url(base_url: str, path: str, query: str) -> str:
    """Where a request goes.

    Below ``/v1`` it goes below ``base_url``, as chat completions do: ``/v1/files`` to ``{base_url}/files``.
    Anything else goes to the same path of the server, which is ``base_url`` without a ``/v1`` at its end.

    Args:
        base_url: No slash at its end.
        path: Checked; begins with a slash.
        query: With its question mark, or empty.
    """
    if path.startswith(f"{API_ROOT}/"):
        return f"{base_url}{path.removeprefix(API_ROOT)}{query}"
    return f"{base_url.removesuffix(API_ROOT)}{path}{query}"


def forwarded_headers(
    given: Iterable[tuple[str, str]], own: Iterable[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """The client's fields, and the provider's own in place of any that have the same name."""
    ours = tuple(own)
    names = {name for name, _ in ours}
    return (*(field for field in given if field[0] not in names), *ours)
