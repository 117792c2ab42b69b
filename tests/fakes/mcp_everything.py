"""Starts the SDK's everything server, unmodified, behind a port that it prints: ``FOLDER WIRE``.

FOLDER is that of the server's package. On the wire ``2025-11-25`` what came later is refused in the words of
servers that were made before it.
"""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import uvicorn

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

REFUSAL = (
    b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,'
    b'"message":"Bad Request: Missing session ID"}}'
)


class Old:
    """Knows no ``server/discover``: whoever has no session may only ask for one."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        body = b"".join(each.get("body", b"") for each in messages)
        if b'"server/discover"' in body:
            head = {"type": "http.response.start", "status": 400}
            await send({**head, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": REFUSAL})
            return

        async def again() -> MutableMapping[str, Any]:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, again, send)


def main(folder: str, wire: str) -> None:
    sys.path.insert(0, folder)
    server = importlib.import_module("mcp_everything_server.server")
    app = server.mcp.streamable_http_app(event_store=server.event_store, retry_interval=100)
    bound = socket.create_server(("127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
    carried = Old(app) if wire == "2025-11-25" else app
    uvicorn.Server(uvicorn.Config(carried, log_config=None)).run([bound])


if __name__ == "__main__":
    main(*sys.argv[1:])
