"""A stream of server-sent events to one client, kept alive while nothing comes.

A comment goes out after every interval in which nothing was written, so that proxies and clients do not take
a slow model for a dead one. A comment may only stand between events: whoever passes on bytes that end in the
middle of one says so.

Source: WHATWG HTML, 9.2.6 "Interpreting an event stream": lines that begin with a colon are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from callboard.domain.turn import TurnEvent
from callboard.serving.exchange import Exchange, Header
from callboard.wire.openai_chat.error import encode_error
from callboard.wire.sse import encode_event

EVENTS_AHEAD = 16
"""How far a turn may be ahead of its client; what a slow one leaves unread stops the upstream behind it."""

KEEP_ALIVE = b": keep-alive\n\n"
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx holds streams back unless told.
    (b"x-accel-buffering", b"no"),
)


class Coming(Protocol):
    """A turn's events as they come."""

    async def some(self) -> Sequence[TurnEvent]:
        """Those that have come together, waiting for the first; none at the end."""


class EventStream:
    """The answer to one exchange as a stream. Used by one task; `beat` by whoever keeps time.

    Args:
        exchange: Whose.
        encode_failure: What the stream ends with where it breaks off, in its dialect; by default one event
            with the body that an error has before the first byte.
    """

    __slots__ = ("_between_events", "_encode_failure", "_exchange", "_wrote", "started")

    def __init__(
        self, exchange: Exchange, encode_failure: Callable[[BaseException], bytes] | None = None
    ) -> None:
        self._exchange = exchange
        self._encode_failure = encode_failure
        exchange.stream = self
        self._wrote = False
        self._between_events = True
        self.started = False

    async def send(self, piece: bytes, *, between_events: bool = True) -> None:
        """Write ``piece``; the first one sends status 200 before it.

        Args:
            piece: Bytes of the stream.
            between_events: Whether the stream stands between two events afterwards.
        """
        self._between_events = False
        if not self.started:
            self.started = True
            await self._exchange.start(200, STREAM_HEADERS)
        await self._exchange.send(piece)
        self._wrote = True
        self._between_events = between_events

    async def pass_on(self, events: Coming, encode: Callable[[TurnEvent], bytes]) -> None:
        """Write a turn's events. What has come together goes out together; nothing waits for more."""
        while some := await events.some():
            piece = b"".join(map(encode, some))
            if piece:
                await self.send(piece)

    async def break_off(self, error: BaseException) -> None:
        """End a stream that cannot go on: its last event says why.

        Where it stands within an event, a blank line ends that one first.
        """
        last = (self._encode_failure or self._error_event)(error)
        await self.finish(last if self._between_events else b"\n\n" + last)

    async def finish(self, last: bytes = b"") -> None:
        """End the body with ``last``, in one packet with the framing's own end."""
        self._between_events = False
        await self._exchange.send(last, more=False)

    def beat(self) -> bytes | None:
        """A comment, where nothing was written since the last beat and one may be written now.

        It begins with the stream: until then the status is still open, and an error can still be told by it.
        """
        silent = self.started and not self._wrote and self._between_events
        self._wrote = False
        return KEEP_ALIVE if silent else None

    def _error_event(self, error: BaseException) -> bytes:
        return encode_event(encode_error(error, request_id=self._exchange.request_id))
