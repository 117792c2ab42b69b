"""One HTTP request and its answer, over ASGI: bounded reading, one answer, and the client's leaving noticed.

Source: ASGI specification 3.0, HTTP connection scope (2.4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol, TypeAlias

from callboard.errors import TooLarge, UnsupportedMedia

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]


class Breakable(Protocol):
    """A streamed answer that can be ended with an event that says why."""

    async def break_off(self, event: bytes) -> None:
        """Send ``event`` as the last one."""


class ClientGone(Exception):
    """The client closed its connection before it had its answer."""


class Exchange:
    """One request. Used by one task; `left` may be awaited by another once the body is read.

    Attributes:
        request_id: Ours, or the client's own where it sent a usable one; sent back as ``x-request-id``.
        status: The status that was sent, None before.
        complete: Whether the whole answer was handed over to the server.
        stream: The answer where it is a stream of events.
    """

    __slots__ = (
        "_headers",
        "_receive",
        "_send",
        "complete",
        "method",
        "path",
        "request_id",
        "scope",
        "status",
        "stream",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        # A mounting application says where it has mounted us; the path still has that in front (ASGI 3.0).
        root: str = scope.get("root_path", "")
        path: str = scope["path"]
        self.path = path[len(root) :] if root and path.startswith(f"{root}/") else path
        self.request_id = request_id
        self.status: int | None = None
        self.complete = False
        self.stream: Breakable | None = None
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name, value)

    def header(self, name: bytes) -> bytes | None:
        """The first request header of this lower-case name."""
        return self._headers.get(name)

    async def body(self, limit: int) -> bytes:
        """The whole request body.

        Raises:
            TooLarge: It exceeds ``limit`` bytes, or says that it will.
            UnsupportedMedia: It is compressed, or not declared as JSON.
            ClientGone: The client left while sending it.
        """
        if self.header(b"content-encoding") not in (None, b"identity"):
            raise UnsupportedMedia("Compressed request bodies are not accepted.")
        media = self.header(b"content-type")
        if media is not None and media.partition(b";")[0].strip().lower() != b"application/json":
            raise UnsupportedMedia("The request body must be application/json.")
        announced = self.header(b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit:
            raise TooLarge(f"The request body exceeds {limit} bytes.")
        first = await self._receive()
        if first["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = first.get("body", b"")
        if not first.get("more_body", False) and len(piece) <= limit:
            return piece
        pieces, size = [piece], len(piece)
        while size <= limit:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(event.get("body", b""))
            size += len(pieces[-1])
            if not event.get("more_body", False):
                break
        if size > limit:
            raise TooLarge(f"The request body exceeds {limit} bytes.")
        return b"".join(pieces)

    async def left(self) -> None:
        """Return when the client has gone. The body must have been read."""
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                return

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send status and headers; the body follows in pieces."""
        self.status = status
        every = [*headers, (b"x-request-id", self.request_id.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": every})

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; waits while the client reads more slowly than we write."""
        self.complete = not more
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def respond(
        self, status: int, body: bytes, *, media: bytes = b"application/json", headers: Iterable[Header] = ()
    ) -> None:
        """Send a whole answer."""
        length = str(len(body)).encode()
        await self.start(status, [(b"content-type", media), (b"content-length", length), *headers])
        await self.send(body if self.method != "HEAD" else b"", more=False)
