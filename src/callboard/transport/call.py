"""One call of the pooled client: its hold on a slot and on the connection in it, and its answer's body."""

from __future__ import annotations

from collections.abc import Callable

from callboard.transport.connection import Connection, Exchange
from callboard.transport.slots import Slots


class PooledCall:
    """A slot that is taken, until the connection in it is given back or closed.

    As soon as the whole answer was parsed the connection carries other calls, whether or not the body was
    read: what is left of it is kept here.

    Attributes:
        connection: None where there is none yet, or none any more.
        exchange: The request and its answer on the connection, once it has begun.
        over, left: See `callboard.transport.answer.BodySource`.
    """

    __slots__ = ("_ended", "_in_use", "_now", "_slots", "connection", "exchange", "left", "over")

    def __init__(
        self,
        slots: Slots[Connection],
        connection: Connection | None,
        in_use: set[PooledCall],
        now: Callable[[], float],
    ) -> None:
        """Hold a slot that was taken, with its connection.

        Args:
            slots: The slot's.
            connection: The one in it, None where the call has to open one.
            in_use: Where the client counts its calls.
            now: The event loop's clock.
        """
        self.connection = connection
        self.exchange: Exchange
        self.over = False
        self._slots = slots
        self._in_use = in_use
        self._now = now
        self._ended = False
        self.left = b""
        in_use.add(self)

    def keep_if_reusable(self) -> None:
        """Give the connection back to carry another call, where the answer has ended and left it in order."""
        exchange, connection = self.exchange, self.connection
        if self._ended or connection is None or not exchange.reusable:
            return
        self.left += exchange.parser.take()
        self._ended = self.over = True
        self._in_use.discard(self)
        connection.idle_since = self._now()
        self._slots.give_back(connection)

    async def receive(self) -> bytes:
        """The next raw piece; empty at the end of the body."""
        if self._ended:
            piece, self.left = self.left, b""
            return piece
        exchange = self.exchange
        parser = exchange.parser
        while not (piece := parser.take()):
            if parser.complete:
                self.keep_if_reusable()
                await self.aclose()
                return b""
            await exchange.receive_more()
        if parser.complete:
            self.keep_if_reusable()
        return piece

    async def close_connection(self) -> None:
        """Close the connection and keep the slot."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.aclose()

    async def aclose(self) -> None:
        """Give the slot up and close the connection, unless it was given back."""
        if self._ended:
            return
        self._ended = True
        self._in_use.discard(self)
        try:
            await self.close_connection()
        finally:
            self._slots.vacate()
