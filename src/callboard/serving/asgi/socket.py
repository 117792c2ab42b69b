"""WebSockets over ASGI: how other servers and applications carry ours.

Frames, their limits and pings are the server's business; see its options for the size of messages.

Source: ASGI specification 3.0, WebSocket connection scope (2.4), and "WebSocket Denial Response".
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from callboard.serving.asgi.exchange import AsgiExchange, Receive, Scope, Send
from callboard.serving.exchange import ClientGone, Header
from callboard.serving.socket import NOT_TEXT, TOO_BIG, Socket

DENIAL = "websocket.http.response"


class AsgiHandshake(AsgiExchange):
    """The request that opens a socket, as an exchange.

    An answer other than the socket is a denial. Servers that cannot carry its status say 403.
    """

    __slots__ = ("_can_deny", "_denied")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__({**scope, "method": "GET"}, receive, send)
        self._can_deny = DENIAL in scope.get("extensions", {})
        self._denied = False

    @property
    def opens_socket(self) -> bool:
        """Always; over HTTP/2 there is no header that says so."""
        return True

    async def open_socket(self, limit: int) -> Socket:
        """See `Exchange.open_socket`."""
        event = await self._receive()
        if event["type"] != "websocket.connect":
            raise ClientGone
        headers = [(b"x-request-id", self.request_id.encode())]
        try:
            await self._send({"type": "websocket.accept", "headers": headers})
        except OSError as error:
            raise ClientGone from error
        self.status = 101
        self.complete = True
        return AsgiSocket(self._receive, self._send, limit)

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """See `Exchange.start`."""
        self.status = status
        if self._can_deny:
            every = [*headers, (b"x-request-id", self.request_id.encode())]
            await self._send({"type": f"{DENIAL}.start", "status": status, "headers": every})

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """See `Exchange.send`."""
        self.complete = not more
        if self._can_deny:
            await self._send({"type": f"{DENIAL}.body", "body": piece, "more_body": more})
        elif not more:
            await self._send({"type": "websocket.close"})


class AsgiSocket(Socket):
    """See `Socket`."""

    __slots__ = ("_closed", "_limit", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._closed = False

    async def receive(self) -> bytes | None:
        """See `Socket.receive`. ASGI servers do not say when they want their clients to leave."""
        if self._closed:
            raise ClientGone
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._closed = True
            raise ClientGone
        text = event.get("text")
        if text is None:
            await self.close(NOT_TEXT, "Messages have to be text.")
            raise ClientGone
        message: bytes = text.encode()
        if len(message) > self._limit:
            await self.close(TOO_BIG, f"The message exceeds {self._limit} bytes.")
            raise ClientGone
        return message

    async def send(self, *texts: bytes) -> None:
        """See `Socket.send`."""
        for text in texts:
            if self._closed:
                raise ClientGone
            try:
                await self._send({"type": "websocket.send", "text": text.decode()})
            except OSError as error:
                self._closed = True
                raise ClientGone from error

    async def close(self, code: int, reason: str) -> None:
        """See `Socket.close`."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):  # it has left
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
