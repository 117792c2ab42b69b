"""Somebody who is sent to an authorization server's page, and agrees."""

from __future__ import annotations

import http.client
from urllib.parse import parse_qsl, urlsplit

from anyio import to_thread

from callboard.secret import Secret
from callboard.tools.mcp import Consented


class Person:
    """Consents at once, and comes back with what the last page leads to.

    Attributes:
        sent_to: The URLs.
    """

    def __init__(self) -> None:
        self.sent_to: list[str] = []

    async def __call__(self, url: str) -> Consented:
        self.sent_to.append(url)
        came = dict(parse_qsl(urlsplit(await to_thread.run_sync(_follow, url)).query))
        return Consented(code=Secret(came["code"]), state=came.get("state"), iss=came.get("iss"))

    def scopes(self) -> list[str | None]:
        """What each page asked for."""
        return [dict(parse_qsl(urlsplit(each).query)).get("scope") for each in self.sent_to]


def _follow(url: str) -> str:
    """Where a page leads to."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        location = connection.getresponse().getheader("location")
    finally:
        connection.close()
    assert location is not None
    return location
