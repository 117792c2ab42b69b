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
from types import TracebackType
from typing import Self

import anyio

from callboard.errors import UpstreamTimeout, UpstreamUnreachable
from callboard.transport.answer import Answer
from callboard.transport.call import PooledCall
from callboard.transport.connection import Connection, dial, on_asyncio
from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpRequest, Limits, Timeouts
from callboard.transport.outgoing import Origin, Template, template
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
        self._in_use: set[PooledCall] = set()
        self._next_sweep = 0.0
        self._now: Callable[[], float] = self._first_reading
        self._closed = False

    async def send(self, request: HttpRequest) -> Answer:
        """Send a request; see the protocol."""
        form = self._templates.get((request.method, request.url, request.headers)) or self._form(request)
        if self._closed:
            raise UpstreamUnreachable("the client is closed")
        now = self._now()
        deadline = now + request.timeouts.total_s
        if now >= self._next_sweep:
            await self._sweep(now)
        slots = self._slots.get(form.origin) or self._new_slots(form.origin)
        connection = slots.take_idle()
        if connection is None and not slots.take_free():
            connection = await self._wait(slots, deadline)
        call = PooledCall(slots, connection, self._in_use, self._now)
        bodiless = request.method == "HEAD"
        try:
            if connection is not None and not self._usable(connection, now):
                await call.close_connection()
            while True:
                reused = call.connection is not None
                connection = call.connection or await self._dial(
                    call, form.origin, request.timeouts, deadline
                )
                call.exchange = exchange = connection.exchange(
                    self._limits, request.timeouts, bodiless=bodiless, deadline=deadline
                )
                try:
                    head = form.head_for(request.body, request.upload)
                    await exchange.begin(head, request.body, request.upload)
                    break
                except UpstreamUnreachable:
                    if not (reused and self._may_be_sent_again(request, call)):
                        raise
                    await call.close_connection()
            parser = exchange.parser
            answer = Answer(
                parser.status, parser.fields, call, self._limits, bodiless=bodiless, raw=request.raw
            )
            if parser.complete:
                call.keep_if_reusable()
        except BaseException:
            await call.aclose()
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
        for call in tuple(self._in_use):
            if call.connection is not None:
                await call.connection.aclose()

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

    def _first_reading(self) -> float:
        """The event loop's clock, looked up once: anyio would look for it at every call."""
        self._now = asyncio.get_running_loop().time if on_asyncio() else anyio.current_time
        return self._now()

    def _form(self, request: HttpRequest) -> Template:
        """What requests have in common with this one; checked and rendered once."""
        known = (request.method, request.url, request.headers)
        if request.raw or request.upload is not None:
            return template(*known)  # these have little in common, and would push out what is wanted again
        if len(self._templates) >= TEMPLATES:
            self._templates.clear()
        form = self._templates[known] = template(*known)
        return form

    def _new_slots(self, origin: Origin) -> Slots[Connection]:
        slots = self._slots[origin] = Slots(self._capacity)
        return slots

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

    async def _dial(
        self, call: PooledCall, origin: Origin, timeouts: Timeouts, deadline: float
    ) -> Connection:
        if origin.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        tls = self._tls if origin.secure else None
        until = min(deadline, self._now() + timeouts.connect_s)
        connection = call.connection = await dial(origin, self._guard, tls, until)
        if self._closed:
            raise UpstreamUnreachable("the client is closed")
        return connection

    def _may_be_sent_again(self, request: HttpRequest, call: PooledCall) -> bool:
        if call.exchange.parser.touched or request.upload is not None or self._closed:
            return False
        return request.idempotent or request.method in _IDEMPOTENT

    def _usable(self, connection: Connection, now: float) -> bool:
        return now - connection.idle_since < self._idle_expiry_s and connection.is_quiet()

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
