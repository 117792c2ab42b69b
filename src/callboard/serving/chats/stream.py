"""The front's stream to one client: frames of `callboard.chats.frames` as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.chats.events import FrontEvent
from callboard.chats.frames import STILL_HERE, encode_frames
from callboard.chats.processor import StreamEventProcessor
from callboard.serving.exchange import Exchange, Header

HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    # nginx holds streams back unless told.
    (b"x-accel-buffering", b"no"),
)


class FrontStream:
    """The answer to one exchange. Used by one task; `beat` by whoever keeps time.

    Args:
        exchange: Whose.
        processor: Knows whether the front has its end.
    """

    __slots__ = ("_exchange", "_processor", "_started", "_wrote")

    def __init__(self, exchange: Exchange, processor: StreamEventProcessor) -> None:
        self._exchange = exchange
        self._processor = processor
        self._started = False
        self._wrote = False
        exchange.stream = self

    async def send(self, events: Sequence[FrontEvent]) -> None:
        """Write ``events``; the first ones send status 200 before them."""
        if not events:
            return
        if not self._started:
            self._started = True
            await self._exchange.start(200, HEADERS)
        await self._exchange.send(encode_frames(events))
        self._wrote = True

    async def finish(self) -> None:
        """End the body."""
        await self._exchange.send(b"", more=False)

    async def break_off(self, error: BaseException) -> None:
        """End a stream that cannot go on: its last event says why, in words for its user."""
        await self.send(self._processor.fail(error))
        await self.finish()

    def beat(self) -> bytes | None:
        """A sign of life, where nothing was written since the last one; every frame is written whole."""
        silent = self._started and not self._wrote
        self._wrote = False
        return STILL_HERE if silent else None
