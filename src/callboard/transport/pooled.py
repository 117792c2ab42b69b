"""The fast client: HTTP/1.1 over kept connections, with httptools.

Bounded per origin, first come first served, and right under cancellation: whatever happens to a call, its
connection is either given back with its answer read to the end, or closed, and its place goes to the next in
line.

**When a request is sent again.** A kept connection may be closed by the peer at any moment. If that is
visible before we write, a fresh connection is used and nothing is repeated. If the connection dies after we
began to write, the request is sent once more, on a fresh connection, only when no byte of an answer arrived,
the connection had been used before, and the method is idempotent or the caller says that this request is.
Nobody can know whether the peer acted on it otherwise; the caller gets ``UpstreamUnreachable`` and decides.

Source: RFC 9110 section 9.2.2 (idempotent methods), RFC 9112 section 9.3.1 (retrying requests).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

import anyio

from callboard.errors import UpstreamTimeout, UpstreamUnreachable
from callboard.transport.answer import Answer
from callboard.transport.connection import Connection, Exchange, dial, on_asyncio
from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpRequest, Limits, Timeouts
from callboard.transport.outgoing import Origin, Outgoing, Template, prepare, template
from callboard.transport.slots import Slots

TEMPLATES = 64
"""Kinds of request that are remembered; an upstream's differ in little but their bodies."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class PooledClient:
    """An :class:`~callboard.transport.http.HttpClient` for the hot path.

    It belongs to one event loop. Several tasks may send at once; each answer belongs to one task at a time.
    """

    def __init__(
        self,
        *,
        max_connections_per_host: int = 100,
        limits: Limits | None = None,
        guard: DialGuard | None = None,
        idle_expiry_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Make a client; nothing is connected yet.

        Args:
            max_connections_per_host: Open connections per scheme, host and port; further calls wait in line.
            limits: What is accepted of an answer.
            guard: Where we may dial; by default the public internet.
            idle_expiry_s: Kept connections are closed after this long without a call.
            tls: Context for https; by default the system's trust store, read at the first https call.
        """
        self._capacity = max_connections_per_host
        self._limits = limits or Limits()
        self._guard = guard or DialGuard()
        self._idle_expiry_s = idle_expiry_s
        self._tls = tls
        self._slots: dict[Origin, Slots[Connection]] = {}
        self._templates: dict[tuple[str, str, tuple[tuple[str, str], ...]], Template] = {}
        self._in_use: set[_Lease] = set()
        self._next_sweep = 0.0
        self._clock: Callable[[], float] | None = None
        self._closed = False

    async def send(self, request: HttpRequest) -> Answer:
        """Send a request; see the protocol."""
        outgoing = self._prepare(request)
        deadline = self._now() + request.timeouts.total_s
        if (now := monotonic()) >= self._next_sweep:
            await self._sweep(now)
        lease = await self._lease(outgoing.origin, deadline)
        try:
            exchange = await self._exchange(lease, outgoing, request, deadline)
            body = _Body(exchange, lease)
            parser = exchange.parser
            bodiless = request.method == "HEAD"
            answer = Answer(
                parser.status, parser.fields, body, self._limits, bodiless=bodiless, raw=request.raw
            )
            body.give_back_if_over()
        except BaseException:
            await lease.drop()
            raise
        return answer

    async def aclose(self) -> None:
        """Close every connection; calls under way and later ones fail."""
        self._closed = True
        for slots in self._slots.values():
            for waiter in slots.waiters:
                waiter.ready.set()
            while (connection := slots.take_idle()) is not None:
                slots.vacate()
                await connection.aclose()
        for lease in tuple(self._in_use):
            if lease.connection is not None:
                await lease.connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def statistics(self) -> ClientStatistics:
        """The connections now."""
        every = self._slots.values()
        taken = sum(slots.taken for slots in every)
        idle = sum(len(slots.idle) for slots in every)
        waiting = sum(len(slots.waiters) for slots in every)
        return ClientStatistics(open=taken, idle=idle, in_use=taken - idle, waiting=waiting)

    def _now(self) -> float:
        """The event loop's clock; anyio would look the event loop up at every call."""
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time if on_asyncio() else anyio.current_time
        return self._clock()

    def _prepare(self, request: HttpRequest) -> Outgoing:
        """The request as it is written; what requests have in common is checked and rendered once."""
        if request.raw or request.upload is not None:
            return prepare(request)  # these have little in common, and would push out what is wanted again
        known = (request.method, request.url, request.headers)
        found = self._templates.get(known)
        if found is None:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            found = self._templates[known] = template(*known)
        return found.fill(request.body)

    async def _lease(self, origin: Origin, deadline: float) -> _Lease:
        """A slot, with an idle connection where there is one; waits in line where there is none."""
        if self._closed:
            raise UpstreamUnreachable("the client is closed")
        slots = self._slots.get(origin)
        if slots is None:
            slots = self._slots[origin] = Slots(self._capacity)
        connection = slots.take_idle()
        if connection is None and not slots.take_free():
            connection = await self._wait(slots, deadline)
        lease = _Lease(slots, connection, self._in_use)
        self._in_use.add(lease)
        return lease

    async def _wait(self, slots: Slots[Connection], deadline: float) -> Connection | None:
        waiter = slots.join()
        try:
            with anyio.CancelScope(deadline=deadline):
                await waiter.ready.wait()
        except BaseException:
            slots.leave(waiter)
            raise
        if waiter.granted and not self._closed:
            return waiter.connection
        slots.leave(waiter)
        if self._closed:
            raise UpstreamUnreachable("the client is closed")
        raise UpstreamTimeout("no connection to the upstream became free in time")

    async def _exchange(
        self, lease: _Lease, outgoing: Outgoing, request: HttpRequest, deadline: float
    ) -> Exchange:
        """Write the request and read the head of its answer, on a kept connection or a fresh one."""
        if lease.connection is not None and not self._usable(lease.connection):
            await lease.close_connection()
        while True:
            reused = lease.connection is not None
            if lease.connection is None:
                await self._dial(lease, outgoing.origin, request.timeouts, deadline)
            exchange = lease.exchange(self._limits, request, deadline)
            try:
                await exchange.begin(outgoing)
            except UpstreamUnreachable:
                repeatable = request.idempotent or request.method in _IDEMPOTENT
                repeatable = repeatable and request.upload is None
                if not (reused and repeatable and not exchange.parser.touched) or self._closed:
                    raise
                await lease.close_connection()
            else:
                return exchange

    async def _dial(self, lease: _Lease, origin: Origin, timeouts: Timeouts, deadline: float) -> None:
        if origin.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        tls = self._tls if origin.secure else None
        until = min(deadline, self._now() + timeouts.connect_s)
        lease.connection = await dial(origin, self._guard, tls, until)
        if self._closed:
            raise UpstreamUnreachable("the client is closed")

    def _usable(self, connection: Connection) -> bool:
        fresh_enough = monotonic() - connection.idle_since < self._idle_expiry_s
        return fresh_enough and connection.is_quiet()

    async def _sweep(self, now: float) -> None:
        """Close connections that nobody wanted for too long, and forget origins without any."""
        self._next_sweep = now + self._idle_expiry_s
        expired = []
        for origin, slots in tuple(self._slots.items()):
            while slots.idle and now - slots.idle[0].idle_since >= self._idle_expiry_s:
                expired.append(slots.idle.popleft())
                slots.vacate()
            if not slots.taken and not slots.waiters:
                del self._slots[origin]
        with anyio.CancelScope(shield=True):
            for connection in expired:
                await connection.aclose()


class _Lease:
    """One call's hold on one slot, and on the connection in it; ends once, by ``keep`` or by ``drop``."""

    __slots__ = ("_ended", "_in_use", "_slots", "connection")

    def __init__(self, slots: Slots[Connection], connection: Connection | None, in_use: set[_Lease]) -> None:
        self.connection = connection
        self._slots = slots
        self._in_use = in_use
        self._ended = False

    def exchange(self, limits: Limits, request: HttpRequest, deadline: float) -> Exchange:
        """A call on the connection, which must be open."""
        assert self.connection is not None  # noqa: S101 - our own order of calls, not input
        return self.connection.exchange(
            limits, request.timeouts, bodiless=request.method == "HEAD", deadline=deadline
        )

    def keep(self) -> None:
        """Give the connection back to carry another call."""
        if self._ended or self.connection is None:
            return
        self._end()
        self.connection.idle_since = monotonic()
        self._slots.give_back(self.connection)

    async def close_connection(self) -> None:
        """Close the connection and keep the slot."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.aclose()

    async def drop(self) -> None:
        """Give the slot up and close the connection."""
        if self._ended:
            return
        self._end()
        try:
            await self.close_connection()
        finally:
            self._slots.vacate()

    def _end(self) -> None:
        self._ended = True
        self._in_use.discard(self)


class _Body:
    """The body of a pooled answer: what the exchange parses, until it is over."""

    __slots__ = ("_exchange", "_lease", "_left", "_over")

    def __init__(self, exchange: Exchange, lease: _Lease) -> None:
        self._exchange = exchange
        self._lease = lease
        self._over = False
        self._left = b""

    def give_back_if_over(self) -> bool:
        """Give the connection back as soon as the whole answer was parsed, read or not.

        From then on its parser is the next call's: what is left of this answer leaves it first.
        """
        if not self._over and self._exchange.reusable:
            self._over = True
            self._left = self._exchange.parser.take()
            self._lease.keep()
        return self._over or self._exchange.parser.complete

    @property
    def over(self) -> bool:
        """See `BodySource`."""
        return self._over and not self._left

    async def receive(self) -> bytes:
        """The next raw piece; empty at the end."""
        if self._over:
            left, self._left = self._left, b""
            return left
        while not (piece := self._exchange.parser.take()):
            if self.give_back_if_over():
                await self._lease.drop()
                return b""
            await self._exchange.receive_more()
        self.give_back_if_over()
        return piece

    async def aclose(self) -> None:
        """Close the connection unless it was given back."""
        await self._lease.drop()
