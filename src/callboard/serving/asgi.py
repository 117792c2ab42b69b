"""An exchange over ASGI: how other servers and applications carry us.

Source: ASGI specification 3.0, HTTP connection scope (2.4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

import anyio

from callboard.serving.exchange import ClientGone, Exchange, Header, too_large

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

EARLY_BYTES = 64 * 1024
"""So much of a body is taken in while its request waits in line: behind it one sees the client leave."""


class AsgiExchange(Exchange):
    """See `Exchange`.

    Attributes:
        scope: Cancelled by `stop`; whoever serves the exchange does so within it.
    """

    __slots__ = ("_early", "_receive", "_send", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value)
        super().__init__(scope["method"], _path(scope), headers)
        self.scope = anyio.CancelScope()
        self._early: deque[Event] = deque()
        self._receive = receive
        self._send = send

    async def body(self, limit: int) -> bytes:
        """See `Exchange.body`."""
        self.check_body(limit)
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            event = self._early.popleft() if self._early else await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(event.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise too_large(limit)
            more = event.get("more_body", False)
        return b"".join(pieces)

    async def attend(self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None) -> None:
        """See `Exchange.attend`."""
        gone = False

        async def watch() -> None:
            nonlocal gone
            early = 0
            while (event := await self._receive())["type"] != "http.disconnect":
                self._early.append(event)
                early += len(event.get("body", b""))
                if early > EARLY_BYTES:
                    return
            # Servers report the end of a complete answer as the client's leaving too.
            gone = not self.complete
            if gone:
                tasks.cancel_scope.cancel()

        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            if heartbeat_s is not None:
                tasks.start_soon(self._beat, heartbeat_s)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - carried out of the group unwrapped, and raised below
                failure = error
            tasks.cancel_scope.cancel()
        if gone:
            raise ClientGone
        if failure is not None:
            raise failure

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
