"""All connections of our server: who may connect, who owns their tasks, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine

import anyio
from anyio.abc import TaskGroup

from callboard.errors import CallboardError, Overloaded
from callboard.serving.exchange import Exchange
from callboard.serving.http1.addresses import counted_as, networks
from callboard.serving.http1.connection import Connection
from callboard.serving.http1.head import Dates
from callboard.serving.http1.limits import ListenLimits


class Listener:
    """Takes connections and hands their requests to ``serve``.

    Args:
        serve: Answers one request; raises nothing but a cancellation.
        limits: What clients may take.
        tasks: Owns the connections' tasks.

    Attributes:
        retiring: Whether no connection serves a further request.
        date: Gives the ``date`` field.
    """

    def __init__(
        self,
        serve: Callable[[Exchange], Coroutine[object, object, None]],
        limits: ListenLimits,
        tasks: TaskGroup,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.serve = serve
        self.limits = limits
        self.retiring = False
        self._tasks = tasks
        self.date = Dates(time.time).field
        self._trusted = networks(limits.trusted_proxies)
        self._connections: set[Connection] = set()
        self._per_client: Counter[str] = Counter()
        self._emptied = anyio.Event()

    def connect(self) -> Connection:
        """A connection for a client that is about to be accepted; what asyncio's servers want."""
        return Connection(self)

    def opened(self, connection: Connection) -> CallboardError | None:
        """A client has connected; returns why it is refused, else its task has been started."""
        self._connections.add(connection)
        client = counted_as(connection.address, self._trusted)
        if client is not None:
            self._per_client[client] += 1
        if len(self._connections) > self.limits.connections:
            return Overloaded("This server has too many connections.")
        if client is not None and self._per_client[client] > self.limits.connections_per_address:
            return Overloaded("This server has too many connections from your address.")
        self._tasks.start_soon(connection.run)
        return None

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        client = counted_as(connection.address, self._trusted)
        if client is not None:
            self._per_client[client] -= 1
            if not self._per_client[client]:
                del self._per_client[client]
        if self.retiring and not self._connections:
            self._emptied.set()

    async def retire(self) -> None:
        """Close idle connections, let the others answer what they were asked; returns when all have ended."""
        self.retiring = True
        if not self._connections:
            self._emptied.set()
        for connection in tuple(self._connections):
            connection.retire()
        await self._emptied.wait()

    def abort(self) -> None:
        """Close every connection now."""
        for connection in tuple(self._connections):
            connection.abort()
