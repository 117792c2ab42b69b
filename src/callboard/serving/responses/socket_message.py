"""A message on a WebSocket as a request of its own.

To the application it is an exchange like any other: with a request id, a place for work, limits, an account
and a closing line of its own, and refused or broken off like any other. Its method is one that no HTTP
request can have, so routes for messages are entries of the one table.

A stream of events becomes frames of exactly the data that its events would have as server-sent events; an
answer that is a document is an error, and becomes the dialect's error event.

Source: Open Responses specification, 2026-04-24, "WebSocket Transport", "WebSocket Errors".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio
import msgspec
from msgspec import Struct

from callboard.serving.exchange import JSON, Exchange, Header, too_large
from callboard.serving.responses.socket_memory import Memory
from callboard.serving.socket import Socket
from callboard.wire.openai_chat.error import ErrorFields
from callboard.wire.sse import DONE_DATA

MESSAGES = "WebSocket messages"
"""The method; no token, so it cannot come over HTTP (RFC 9110, 5.6.2)."""

_STATUS = {"previous_response_not_found": 400}
"""The specification's own, where that is not what tells of the error over HTTP."""


class _Answer(Struct, kw_only=True):
    """The document that tells of an error over HTTP."""

    error: ErrorFields
    request_id: str = ""


class _ErrorEvent(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag="error"):
    status: int
    error: ErrorFields
    request_id: str = ""
    headers: dict[str, str] = {}


def error_event(status: int, body: bytes, headers: Iterable[Header] = ()) -> tuple[int, bytes]:
    """The event that tells of an error, and the status in it.

    Args:
        status: That would tell of it over HTTP.
        body: That would, too (`callboard.wire.openai_chat.error.encode_error`).
        headers: That would go with it; there is room for them in the event, and clients look there for
            ``retry-after``.
    """
    told = msgspec.json.decode(body, type=_Answer)
    error = told.error
    error.code = error.code or error.type  # the event must have one
    event = _ErrorEvent(
        status=_STATUS.get(error.code, status),
        error=error,
        request_id=told.request_id,
        headers={name.decode(): value.decode() for name, value in headers},
    )
    return event.status, msgspec.json.encode(event)


class MessageExchange(Exchange):
    """See the module's docstring.

    Attributes:
        memory: What the socket remembers of the turns before.
        scope: Cancelled by `stop`; whoever serves the exchange does so within it.
        ending: Whether its last event is on its way: the client may send the next message any moment.
    """

    __slots__ = ("_body", "_socket", "ending", "memory", "scope")

    def __init__(self, opening: Exchange, socket: Socket, body: bytes, memory: Memory) -> None:
        # The request id that a client chose for the handshake is the handshake's.
        headers = {name: value for name, value in opening.headers.items() if name != b"x-request-id"}
        super().__init__(MESSAGES, opening.path, headers, opening.target)
        self.memory = memory
        self.scope = anyio.CancelScope()
        self.ending = False
        self._socket = socket
        self._body = body

    async def body(self, limit: int) -> bytes:
        """The message."""
        return await self.piece(limit)

    def body_length(self) -> int:
        """Of the message."""
        return len(self._body)

    async def piece(self, limit: int) -> bytes:
        """The message; after it, nothing."""
        if len(self._body) > limit:
            raise too_large(limit)
        body, self._body = self._body, b""
        return body

    async def attend(self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None) -> None:
        """See `Exchange.attend`. The socket is read meanwhile, and its carrier gives the signs of life."""
        await work()

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """See `Exchange.start`. Messages have no head."""
        self.status = status

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Send the data of whole server-sent events, one message each."""
        self.complete = not more
        data = [event.partition(b"data: ")[2] for event in piece.split(b"\n\n")]
        self.ending = self.ending or DONE_DATA in data
        texts = [text for text in data if text and text != DONE_DATA]
        if texts:
            await self._socket.send(*texts)

    async def respond(
        self, status: int, body: bytes, *, media: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        """Send the error that ``body`` tells of as an event."""
        self.status, event = error_event(status, body, headers)
        self.complete = self.ending = True
        await self._socket.send(event)

    def stop(self, reason: Exception) -> None:
        """See `Exchange.stop`."""
        self.stopped = reason
        self.scope.cancel()
