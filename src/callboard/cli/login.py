"""``callboard tools login NAME`` and ``logout NAME``: a person consents that we use an MCP server, once.

The person's browser goes to the authorization server and comes back to a port of 127.0.0.1, where we listen
only so long. What comes there counts only with the ``state`` that went out: any page may send a browser here.
"""

from __future__ import annotations

import html
import re
import sys
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import SocketStream

from callboard.cli.terminal import printable
from callboard.config import Config, is_scope
from callboard.errors import CallboardError, ConfigurationError
from callboard.secret import Secret
from callboard.tool_wiring import log_in, log_out
from callboard.tools.mcp import Consented
from callboard.tools.source import SourceUnavailable

WAIT_S = 300.0
"""For a person to come back."""

HEAD_S = 10.0
MAX_HEAD_BYTES = 16 * 1024
MAX_CONNECTIONS = 8
MAX_ERROR_CHARS = 200

_REQUEST = re.compile(rb"GET /callback\?([\x21-\x7e]*) HTTP/1\.[01]\r\n")
_HEAD = (
    "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {length}\r\n"
    "cache-control: no-store\r\ncontent-security-policy: default-src 'none'\r\n"
    "referrer-policy: no-referrer\r\nconnection: close\r\n\r\n"
)
_PAGE = "<!doctype html><meta charset=utf-8><title>Callboard</title><p>{}\n"


async def login(config: Config, name: str, scope: str | None) -> int:
    """Log in to a server, and say how many tools it has."""
    if scope is not None and not is_scope(scope):
        raise ConfigurationError("--scope: expected names with single spaces between them")
    ports = (each.oauth.redirect_port for each in config.mcp.servers if each.name == name and each.oauth)
    async with _listening(next(ports, 0)) as door:
        count = await log_in(config, name, door.consent, scope=scope)
    print(f"logged in to {name}, which has {count} tools")
    return 0


def logout(config: Config, name: str) -> int:
    """Forget a login."""
    print(f"logged out of {name}" if log_out(config, name) else f"there was no login to {name}")
    return 0


class _Door:
    """Where a browser comes back to."""

    def __init__(self) -> None:
        self._places = CapacityLimiter(MAX_CONNECTIONS)
        self._state: str | None = None
        self._came: Mapping[str, str] = {}
        self._bell = anyio.Event()

    async def consent(self, url: str) -> Consented:
        """Send a person to ``url``, and wait.

        Raises:
            SourceUnavailable: Nobody came back in time, or with a refusal.
        """
        self._bell, self._state = anyio.Event(), dict(parse_qsl(urlsplit(url).query)).get("state")
        print(f"Open this page, and consent to what it asks:\n\n  {printable(url)}\n", flush=True)
        if sys.stdout.isatty():
            await to_thread.run_sync(webbrowser.open, url)
        with anyio.move_on_after(WAIT_S):
            await self._bell.wait()
        if not self._bell.is_set():
            raise SourceUnavailable(f"nobody came back within {WAIT_S:g} s")
        if "code" not in self._came:
            raise SourceUnavailable(f"the authorization server refuses: {_refusal(self._came)}")
        return Consented(
            code=Secret(self._came["code"]), state=self._came["state"], iss=self._came.get("iss")
        )

    async def serve(self, stream: SocketStream) -> None:
        """Answer one request, if it is one within bounds."""
        async with stream, self._places:
            with anyio.move_on_after(HEAD_S):
                try:
                    status, text = self._answer(await _head(stream))
                    body = _PAGE.format(html.escape(text)).encode()
                    await stream.send(_HEAD.format(status=status, length=len(body)).encode() + body)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    def _answer(self, head: bytes) -> tuple[str, str]:
        """Status and text for a request; a person who was sent is let in, once."""
        request = _REQUEST.match(head)
        if request is None:
            return "404 Not Found", "There is nothing here."
        came = dict(parse_qsl(request[1].decode()))
        if self._state is None or came.get("state") != self._state or not came.keys() & {"code", "error"}:
            return "400 Bad Request", "This page does not belong to a login that is under way."
        self._state, self._came = None, came
        self._bell.set()
        if "code" not in came:
            return "200 OK", f"The authorization server refuses: {_refusal(came)}"
        return "200 OK", "Thank you. You can close this page; the terminal says what came of it."


@asynccontextmanager
async def _listening(port: int) -> AsyncIterator[_Door]:
    """A door at ``port`` of 127.0.0.1, for the length of a block."""
    door = _Door()
    try:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    except OSError as error:
        raise ConfigurationError(
            f"nothing can listen on 127.0.0.1:{port} ({error.strerror}); set redirect_port to a free port"
        ) from error
    failure: CallboardError | None = None
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, door.serve)
        try:
            yield door
        except CallboardError as error:
            failure = error  # a task group would wrap it
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _head(stream: SocketStream) -> bytes:
    """What comes before the first empty line, or as much as we take."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        head += await stream.receive()
    return head


def _refusal(came: Mapping[str, str]) -> str:
    """The error that a browser came back with, in one line."""
    parts = (came["error"], came.get("error_description", ""))
    return printable(" - ".join(filter(None, parts)).replace("\n", " "))[:MAX_ERROR_CHARS]
