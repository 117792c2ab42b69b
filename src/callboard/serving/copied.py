"""An exchange whose answer is kept as it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from callboard.serving.exchange import JSON, Beating, Exchange, Header

LARGEST = 1 << 20
"""Bytes of an answer; of a larger one nothing is kept."""


class Copied(Exchange):
    """The client's exchange, with a copy of what is answered. Signs of life within a stream are not copied.

    Args:
        exchange: The client's, which everything is passed on to.
        body: Of the request, which was read already.
        keep: Told the status, the media type and the answer before its last byte is sent; None stands for an
            answer that is too large.
    """

    __slots__ = ("_body", "_exchange", "_keep", "_media", "_pieces", "_size")

    def __init__(
        self,
        exchange: Exchange,
        body: bytes,
        keep: Callable[[int, str, bytes | None], Awaitable[None]],
    ) -> None:
        # What else an exchange has is the client's, see below.
        self.method = exchange.method
        self.path = exchange.path
        self.target = exchange.target
        self.headers = exchange.headers
        self._exchange = exchange
        self._body = body
        self._keep = keep
        self._media = ""
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def request_id(self) -> str:
        """The client's."""
        return self._exchange.request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        self._exchange.request_id = value

    @property
    def status(self) -> int | None:
        """The client's."""
        return self._exchange.status

    @status.setter
    def status(self, value: int | None) -> None:
        self._exchange.status = value

    @property
    def complete(self) -> bool:
        """The client's."""
        return self._exchange.complete

    @complete.setter
    def complete(self, value: bool) -> None:
        self._exchange.complete = value

    @property
    def stream(self) -> Beating | None:
        """The client's."""
        return self._exchange.stream

    @stream.setter
    def stream(self, value: Beating | None) -> None:
        self._exchange.stream = value

    @property
    def stopped(self) -> Exception | None:
        """The client's."""
        return self._exchange.stopped

    @stopped.setter
    def stopped(self, value: Exception | None) -> None:
        self._exchange.stopped = value

    async def body(self, limit: int) -> bytes:
        """The request's body, which was read within its limit."""
        return self._body

    async def piece(self, limit: int) -> bytes:
        """Nothing: the body was read."""
        return b""

    async def attend(self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None) -> None:
        """Run ``work`` as long as the client is there."""
        await self._exchange.attend(work, heartbeat_s=heartbeat_s)

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send status and headers."""
        headers = list(headers)
        self._media = next(
            (value.decode("latin-1") for name, value in headers if name == b"content-type"), ""
        )
        await self._exchange.start(status, headers)

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece of the answer, and have the whole kept before the last."""
        self._size += len(piece)
        if self._size <= LARGEST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        if not more:
            if self.stream is not None and piece:
                # How a stream ended is told in any case, and that it is over once it is kept.
                await self._exchange.send(piece)
                piece = b""
            answer = b"".join(self._pieces) if self._size <= LARGEST else None
            await self._keep(self.status or 0, self._media, answer)
        await self._exchange.send(piece, more=more)

    async def respond(
        self, status: int, body: bytes, *, media: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        """Have a whole answer kept, and send it."""
        await self._keep(status, media.decode("latin-1"), body if len(body) <= LARGEST else None)
        await self._exchange.respond(status, body, media=media, headers=headers)

    def stop(self, reason: Exception) -> None:
        """Cancel what is done for the client."""
        self._exchange.stop(reason)
