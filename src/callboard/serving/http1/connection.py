"""One client connection: llhttp parses, one task answers, and every wait has an end.

**Who does what.** The event loop calls the protocol's methods: they parse, fill exchanges and keep time. The
connection's task, owned by the listener, answers one exchange after another. A client that leaves cancels
that task's scope, and with it the upstream call: no watcher is needed, and none is paid for.

**Pipelined requests** (RFC 9112, 9.3.2) wait their turn, up to a bound. A client that leaves takes all of
them back, the one in work included.

**A connection that is refused** is closed in two steps: our side first, and the rest when the client has had
the time to read why (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Protocol

from anyio import CancelScope

from callboard.errors import CallboardError, UnreadableRequest
from callboard.serving.exchange import ClientGone, Exchange
from callboard.serving.failures import headers_of, status_of
from callboard.serving.http1.exchange import Http1Exchange
from callboard.serving.http1.head import refusal_answer
from callboard.serving.http1.leaving import Lookout, reset
from callboard.serving.http1.limits import ListenLimits
from callboard.serving.http1.request import Head, RequestParser
from callboard.serving.http1.websocket import Http1Socket
from callboard.transport.patience import Patience
from callboard.wire.openai_chat.error import encode_error

PIPELINED_AT_ONCE = 1_000
"""What was read in one go is kept, however many requests it holds; but not more than this."""

LINGER_S = 1.0
"""How long a client may take to read why it was refused."""


class Host(Protocol):
    """What a connection needs of its listener.

    Attributes:
        retiring: Whether no connection shall serve a further request.
        serve: Answers one request; raises nothing but a cancellation.
    """

    loop: asyncio.AbstractEventLoop
    limits: ListenLimits
    retiring: bool
    serve: Callable[[Exchange], Coroutine[object, object, None]]
    date: Callable[[], bytes]

    def opened(self, connection: Connection) -> CallboardError | None:
        """A client has connected; returns why it is refused, else its task has been started."""

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection(asyncio.Protocol):
    """See the module's docstring.

    Attributes:
        address: The client's network address, without its port.
        clogged, date: See `callboard.serving.http1.exchange.Wire`.
    """

    __slots__ = (
        "_beat_timer",
        "_current",
        "_gone",
        "_host",
        "_idle",
        "_incoming",
        "_last",
        "_limits",
        "_lookout",
        "_loop",
        "_parser",
        "_patience",
        "_paused",
        "_queue",
        "_refusal",
        "_scope",
        "_socket",
        "_transport",
        "_turn",
        "_unread",
        "address",
        "clogged",
        "date",
    )

    def __init__(self, host: Host) -> None:
        self.address = ""
        self.date = host.date
        self._host = host
        self._loop = host.loop
        self._limits = host.limits
        self._transport: asyncio.Transport
        self._parser: RequestParser | None = RequestParser(self, host.limits)
        self._scope = CancelScope()
        self._queue: deque[Http1Exchange] = deque()
        self._current: Http1Exchange | None = None
        self._incoming: Http1Exchange | None = None
        self._refusal: UnreadableRequest | None = None
        self._socket: Http1Socket | None = None
        self._last = False  # nothing that comes is read any more
        self._unread = False  # something may have come that was not read
        self._gone = False
        self._paused = False
        self._idle = False
        self._turn: asyncio.Future[None] | None = None  # the task waits for a request
        self.clogged: asyncio.Future[None] | None = None  # the client reads more slowly than we write
        self._beat_timer: TimerHandle | None = None
        self._patience = Patience(host.loop)
        self._lookout = Lookout(host.loop)

    # --- what the event loop calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's
        """A client connects."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        refused = self._host.opened(self)
        if refused is None:
            self._patience.expect(self._limits.header_s, self._refuse_late)
        else:
            self._last = True
            self._tell(refused)
            self._linger()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self._gone = self._last = True
        self._parser = None  # it holds our bound methods: do not leave the cycle to the collector
        self._patience.end()
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self._unclog()
        current = self._current
        if current is not None and not current.complete:
            current.stopped = current.stopped or ClientGone()
            self._scope.cancel()
        if self._socket is not None:
            self._socket.end()
        self._wake()
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or a body."""
        parser = self._parser
        if self._last or parser is None:
            self._unread = True
            if self._socket is not None:
                self._socket.feed(data)
            return
        try:
            if not parser.feed(data):
                self._end_after_what_came()
        except UnreadableRequest as refusal:
            self._refuse(refusal)
        else:
            if self._incoming is not None:
                self._patience.expect(self._limits.body_idle_s, self._refuse_late)
            elif self._idle:
                self._idle = False
                self._patience.expect(self._limits.header_s, self._refuse_late)

    def eof_received(self) -> bool:
        """The client sends no more, which is how clients leave: both directions are closed."""
        return False

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self.clogged = self._loop.create_future()
        self._patience.expect(self._limits.send_idle_s, self._transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        self._unclog()
        self._patience.content()

    # --- what the parser calls ------------------------------------------------------------------------------

    def on_head(self, head: Head) -> None:
        """A further request begins."""
        if len(self._queue) >= self._limits.pipelined:
            self.pause()
            if len(self._queue) >= PIPELINED_AT_ONCE:
                raise UnreadableRequest("Too many requests were sent without waiting for answers.")
        exchange = Http1Exchange(self, head)
        if self._host.retiring:
            exchange.keep_alive = False
        self._incoming = exchange
        self._queue.append(exchange)
        self._idle = False
        self._wake()

    def on_piece(self, piece: bytes) -> None:
        """Its body goes on."""
        if self._incoming is not None:
            self._incoming.feed(piece)

    def on_end(self) -> None:
        """It is whole."""
        if self._incoming is not None:
            self._incoming.feed_end()
            self._incoming = None
            self._patience.content()

    # --- what the exchange in work calls --------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Hand over bytes for the client."""
        if not self._gone:
            self._transport.write(data)

    def pause(self) -> None:
        """Read nothing more from the client for now."""
        if not self._paused and not self._gone:
            self._paused = True
            self._transport.pause_reading()
            self._lookout.begin(self._transport, self._is_ahead)

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self._gone:
            self._paused = False
            self._transport.resume_reading()
            if self._incoming is not None:
                self._patience.expect(self._limits.body_idle_s, self._refuse_late)

    def stop(self) -> None:
        """Cancel what is done for the client, and serve it nothing more."""
        self._last = True
        self._scope.cancel()

    def beats(self, exchange: Http1Exchange, interval_s: float | None) -> None:
        """Keep ``exchange`` alive while it is silent; None ends that."""
        if self._beat_timer is not None:
            self._beat_timer.cancel()
            self._beat_timer = None
        if interval_s is not None and not self._gone:
            self._beat_timer = self._loop.call_later(interval_s, self._beat, exchange, interval_s)

    def future(self) -> asyncio.Future[None]:
        """Something to wait on."""
        return self._loop.create_future()

    # --- what the listener calls ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer one request after another, then close. The listener owns the task."""
        serve = self._host.serve
        with self._scope:
            while (exchange := self._next() or await self._arrival()) is not None:
                await serve(exchange)
                if not (exchange.complete and exchange.keep_alive):
                    if exchange.until_close and not exchange.complete:
                        reset(self._transport)
                    break
                self._current = None
                if not self._queue and not self._last:
                    self._rest()
            else:
                if self._refusal is not None:
                    self._tell(self._refusal)
        self._current = None
        self._last = True
        if self._gone:
            return
        if self._unread or self._incoming is not None or self._socket is not None:
            self._linger()
        else:
            self._transport.close()

    def retire(self) -> None:
        """Serve what has been asked, and nothing after it."""
        if self._socket is not None:
            self._socket.retire()
        if self._current is not None:
            self._current.keep_alive = False
        for exchange in self._queue:
            exchange.keep_alive = False
        unasked = self._current is None and not self._queue
        if unasked and self._parser is not None and not self._parser.in_head:
            self._close_idle()

    def abort(self) -> None:
        """End it now, whatever is in work."""
        if not self._gone:
            self._transport.abort()

    # --- inside ---------------------------------------------------------------------------------------------

    def _next(self) -> Http1Exchange | None:
        """The next request in turn, where it has begun to come."""
        if not self._queue or self._gone:
            return None
        exchange = self._current = self._queue.popleft()
        if self._paused and self._incoming is None and len(self._queue) < self._limits.pipelined:
            self.resume()
        return exchange

    async def _arrival(self) -> Http1Exchange | None:
        """The same, waiting for one; None where there will be none."""
        if not self._last:
            self._turn = self._loop.create_future()
            await self._turn
            self._turn = None
        return self._next()

    def _rest(self) -> None:
        """Everything that was asked has been answered."""
        if self._paused:
            self.resume()
        if self._parser is not None and self._parser.in_head:
            self._patience.expect(self._limits.header_s, self._refuse_late)
        else:
            self._idle = True
            self._patience.expect(self._limits.keep_alive_s, self._close_idle)

    def _close_idle(self) -> None:
        self._last = True
        self._wake()

    def _refuse_late(self) -> None:
        if self._paused:
            # It is we who are not reading: the client cannot be early.
            self._patience.expect(self._limits.body_idle_s, self._refuse_late)
        else:
            self._refuse(UnreadableRequest("The request did not arrive in time.", 408))

    def _refuse(self, refusal: UnreadableRequest) -> None:
        """What came cannot be read: answer what was asked before it, then say so and close."""
        self._last = self._unread = True
        broken, self._incoming = self._incoming, None
        if broken is not None and broken is self._current:
            if broken.status is None:
                broken.stop(refusal)
            return
        if broken is not None:
            self._queue.remove(broken)
        self._refusal = refusal
        self._wake()

    def _end_after_what_came(self) -> None:
        # Whatever protocol it is, what follows the request is no HTTP (RFC 9110, 7.8).
        self._last = True
        latest = self._queue[-1] if self._queue else self._current
        if latest is not None:
            latest.keep_alive = False
            if latest.opens_socket and self._parser is not None:
                self._socket = latest.socket = Http1Socket(self, self._parser.rest, self._limits.ping_s)

    def _tell(self, refusal: CallboardError) -> None:
        """Answer what no exchange stands for."""
        body = encode_error(refusal, request_id="")
        self.write(refusal_answer(status_of(refusal), body, self.date(), headers_of(refusal)))

    def _linger(self) -> None:
        self.resume()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._patience.expect(LINGER_S, self._transport.abort)

    def _is_ahead(self) -> bool:
        """Whether the client of the request in work sends faster than we take, and is not read for now."""
        return self._paused and not self._gone and self._incoming is self._current

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _unclog(self) -> None:
        if self.clogged is not None:
            if not self.clogged.done():
                self.clogged.set_result(None)
            self.clogged = None

    def _beat(self, exchange: Http1Exchange, interval_s: float) -> None:
        self._beat_timer = self._loop.call_later(interval_s, self._beat, exchange, interval_s)
        if self.clogged is None:
            exchange.beat()
