"""The application: a table of routes, each with the permission it needs.

Our own server hands exchanges to `App.serve`; as an ASGI callable it can be mounted in any other server or
application. It holds no state of its own: everything behind the doors is the runtime's. Every request ends in
exactly one closing observation, whatever happened to it.

Source: ASGI specification 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import anyio

from callboard.domain.meter import Meter
from callboard.domain.principal import LOCAL, KeyScope
from callboard.errors import CallboardError, MethodNotAllowed, NotFound
from callboard.serving.admission import Admission
from callboard.serving.asgi.exchange import AsgiExchange, Receive, Scope, Send
from callboard.serving.asgi.socket import AsgiHandshake
from callboard.serving.auth import ANYBODY, Doorkeeper
from callboard.serving.exchange import ClientGone, Exchange
from callboard.serving.failures import answer_failure, error_type_of
from callboard.serving.house import House
from callboard.serving.routing import Route, RouteTable
from callboard.serving.visit import Visit

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
CANCELLED = "cancelled"
CLIENT_CLOSED_REQUEST = 499  # nginx's number for it, understood by every log reader
LAST_WORDS_S = 1.0
"""Time for an answer that is broken off to say so to a client that reads slowly."""


class App:
    """The ASGI callable, and what our own server serves.

    Args:
        house: What is behind the doors.
        routes: All of them; a request for anything else is answered 404.
        doorkeeper: Decides who comes in.
        admission: Bounds the work.
        elsewhere: The way on for a request that none of the routes answers; None where there is none.
    """

    def __init__(
        self,
        house: House,
        routes: Iterable[Route],
        doorkeeper: Doorkeeper,
        admission: Admission,
        elsewhere: Callable[[Exchange], Route | None] | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._house = house
        self._doorkeeper = doorkeeper
        self._admission = admission
        self._routes = RouteTable(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of an ASGI server."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            exchange = AsgiExchange(scope, receive, send)
            with exchange.scope:
                await self.serve(exchange)
        elif scope["type"] == "websocket":
            handshake = AsgiHandshake(scope, receive, send)
            with handshake.scope:
                await self.serve(handshake)

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request. Raises nothing but a cancellation."""
        house = self._house
        ours = house.new_id("req_")
        given = exchange.headers.get(b"x-request-id")
        exchange.request_id = ours if given is None else _fit_for_a_log(given) or ours
        meter = Meter(exchange.request_id, exchange.path, house.clock_ns, account_id=ours)
        try:
            route, visit = await self._enter(exchange, meter)
            if not route.works:
                await route.handle(visit)
            else:
                if not self._admission.take(exchange):
                    await self._wait_in_line(exchange, meter)
                try:
                    with house.admit():
                        await route.handle(visit)
                finally:
                    self._admission.give_back(exchange)
        except ClientGone as gone:
            await _stopped(exchange, meter, gone)
        except Exception as error:  # noqa: BLE001 - the server's edge
            meter.error_type = error_type_of(error)
            if not isinstance(error, CallboardError):
                house.bug(exchange.request_id, error)
            await _tell(exchange, error)
        except BaseException:
            await _stopped(exchange, meter, exchange.stopped)
            raise
        finally:
            exchange.stream = None  # they hold each other
            house.observe(meter.close(exchange.status))
        if exchange.afterwards is not None:
            await exchange.afterwards(self.serve)

    async def _enter(self, exchange: Exchange, meter: Meter) -> tuple[Route, Visit]:
        """Where a request leads, and what it is there.

        Raises:
            NotFound, MethodNotAllowed: Nowhere.
            Misdirected, PermissionDenied: It may not come in.
        """
        methods, parameters = self._routes.find(exchange.path)
        route = methods.get("GET" if exchange.method == "HEAD" else exchange.method)
        if route is None and self._elsewhere is not None:
            route = self._elsewhere(exchange)
        # The operator's words, not the client's: there is no end of paths, and they may hold what is private.
        anyone = route or next(iter(methods.values()), None)
        meter.route = "unknown" if anyone is None else anyone.path
        # Deny by default: without a key nobody learns what there is.
        scope: KeyScope | None = "client" if route is None else route.scope
        principal = self._doorkeeper.admit(exchange, scope)
        if principal is None:
            principal = await self._doorkeeper.identify(exchange, scope)
        if principal is not LOCAL and principal is not ANYBODY:
            meter.key_id = principal.key_id
        if anyone is None:
            raise NotFound(f"There is nothing at {exchange.path[:200]}.")
        if route is None:
            raise MethodNotAllowed(f"{exchange.path} takes {' and '.join(sorted(methods))} only.")
        return route, Visit(
            exchange=exchange, principal=principal, meter=meter, house=self._house, parameters=parameters
        )

    async def _wait_in_line(self, exchange: Exchange, meter: Meter) -> None:
        meter.enter("queue")
        # The client is watched from the line too: nobody waits for somebody who has gone.
        await exchange.attend(lambda: self._admission.wait(exchange))
        meter.enter("own")


def _fit_for_a_log(given: bytes) -> str | None:
    """The client's own name for its request, unless it would harm a log."""
    name = given.decode("latin-1")
    return name if REQUEST_ID.fullmatch(name) else None


async def _tell(exchange: Exchange, error: Exception) -> None:
    """Let the client know of ``error`` by status while that is open, else by the stream's last event."""
    if exchange.status is None:
        await answer_failure(exchange, error)
    elif exchange.stream is not None and not exchange.complete:
        await exchange.stream.break_off(error)


async def _stopped(exchange: Exchange, meter: Meter, reason: Exception | None) -> None:
    """Settle what an exchange that was cancelled comes to, and say why to whoever still listens."""
    meter.error_type = CANCELLED
    if isinstance(reason, ClientGone):
        exchange.status = CLIENT_CLOSED_REQUEST
    elif reason is not None:
        meter.error_type = error_type_of(reason)
        with anyio.move_on_after(LAST_WORDS_S, shield=True):
            await _tell(exchange, reason)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
