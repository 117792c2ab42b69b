"""An exchange over ASGI: how other servers and applications carry us.

Source: ASGI specification 3.0, HTTP connection scope (2.4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

import anyio

from callboard.serving.exchange import ClientGone, Exchange, Header, too_large

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

EARLY_BYTES = 64 * 1024
"""So much of a body is taken in before anybody asks for it: behind it one sees the client leave."""


class AsgiExchange(Exchange):
    """See `Exchange`.

    Attributes:
        scope: Cancelled by `stop`; whoever serves the exchange does so within it.
    """

    __slots__ = (
        "_early",
        "_early_bytes",
        "_ended",
        "_http_2",
        "_moved",
        "_receive",
        "_send",
        "_taken",
        "_watched",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        super().__init__(scope["method"], _path(scope), headers, _target(scope))
        self.scope = anyio.CancelScope()
        self._early: deque[Event] = deque()
        self._early_bytes = 0
        self._ended = False  # the end of the request's body was taken
        self._http_2 = scope.get("http_version", "1.1") >= "2"
        self._moved = anyio.Event()  # something was put into, or taken from, what came early
        self._taken = 0
        self._watched = False  # by `attend`, which then reads all events
        self._receive = receive
        self._send = send

    async def body(self, limit: int) -> bytes:
        """See `Exchange.body`."""
        self.check_body(limit)
        pieces: list[bytes] = []
        while piece := await self.piece(limit):
            pieces.append(piece)
        return b"".join(pieces)

    def body_length(self) -> int | None:
        """See `Exchange.body_length`. From HTTP/2 on, a body without a length has no other header either."""
        length = super().body_length()
        return None if length == 0 and self._http_2 and b"content-length" not in self.headers else length

    async def piece(self, limit: int) -> bytes:
        """See `Exchange.piece`."""
        piece = b""
        while not (piece or self._ended):
            event = await self._next()
            if event["type"] == "http.disconnect":
                raise ClientGone
            piece = event.get("body", b"")
            self._taken += len(piece)
            if self._taken > limit:
                raise too_large(limit)
            self._ended = not event.get("more_body", False)
        return piece

    async def _next(self) -> Event:
        """The server's next event, read here or by whoever watches."""
        while not self._early:
            if not self._watched:
                return await self._receive()
            await self._moved.wait()
        event = self._early.popleft()
        self._early_bytes -= len(event.get("body", b""))
        self._move()
        return event

    def _move(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    async def attend(self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None) -> None:
        """See `Exchange.attend`."""
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (event := await self._receive())["type"] != "http.disconnect":
                self._early.append(event)
                self._early_bytes += len(event.get("body", b""))
                self._move()
                while self._early_bytes > EARLY_BYTES:
                    await self._moved.wait()
            # Servers report the end of a complete answer as the client's leaving too.
            gone = not self.complete
            if gone:
                tasks.cancel_scope.cancel()

        failure: Exception | None = None
        self._watched = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            if heartbeat_s is not None:
                tasks.start_soon(self._beat, heartbeat_s)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - carried out of the group unwrapped, and raised below
                failure = error
            tasks.cancel_scope.cancel()
        self._watched = False
        if gone:
            raise ClientGone
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # the error holds this frame

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """See `Exchange.start`."""
        self.status = status
        every = [*headers, (b"x-request-id", self.request_id.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": every})

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """See `Exchange.send`."""
        self.complete = not more
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    def stop(self, reason: Exception) -> None:
        """See `Exchange.stop`."""
        self.stopped = reason
        self.scope.cancel()

    async def _beat(self, interval_s: float) -> None:
        while True:
            await anyio.sleep(interval_s)
            sign = self.stream.beat() if self.stream is not None else None
            if sign is not None:
                await self.send(sign)


def _path(scope: Scope) -> str:
    """The path below the place where we are mounted, which ASGI 3.0 leaves in front of it."""
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _target(scope: Scope) -> bytes:
    """Path and query below that place, as they came where the server says so."""
    root = scope.get("root_path", "").encode()
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = path[len(root) :] if root and path.startswith(root + b"/") else path
    query: bytes = scope.get("query_string", b"")
    return b"%b?%b" % (path, query) if query else path
