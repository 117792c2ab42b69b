"""``[mcp] remote``: at which URLs a client's request may name an MCP server.

An entry is a URL, or the beginning of one with ``*`` behind it; scheme, host and port are always meant whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from callboard.config.mcp_servers import url_fault
from callboard.config.problems import Problem, Source

# What could make of a path another one than is written.
_DEVIOUS = re.compile(r"/\.{1,2}(/|$|\?)|%2e|%2f|%5c|%25|\\|//", re.IGNORECASE)


def check_remote(patterns: Iterable[str], source: Source) -> Iterator[Problem]:
    """Entries that are none."""
    for pattern in patterns:
        fault = _fault(pattern)
        if fault is not None:
            yield source.problem(("mcp", "remote"), fault)


def may_dial(url: str, patterns: Iterable[str]) -> bool:
    """Whether a client may name a server at ``url``."""
    if url_fault(url) is not None or _DEVIOUS.search(url.partition("://")[2]):
        return False
    return any(
        url.startswith(each[:-1]) if each.endswith("*") else url == each
        for each in patterns
        if _fault(each) is None
    )


def _fault(pattern: str) -> str | None:
    fault = url_fault(pattern)
    if fault is not None:
        return fault
    beginning = pattern.removesuffix("*")
    # Else a host or a port could go on where the entry ends.
    if "*" in beginning or (beginning != pattern and not urlsplit(beginning).path):
        return 'expected a URL, which may end with "*" behind the host\'s "/"'
    return "expected a plain path" if _DEVIOUS.search(beginning.partition("://")[2]) else None
