"""The generic proxy: what no route of ours answers goes to a provider, where ``[proxy]`` allows it.

Nothing is read of what passes, neither decompressed nor decoded, and nothing is held: each side goes as fast
as the other one takes it. So limits and ledger know nothing of it; places for work, the drain and the closing
line do. Where a request goes is the operator's word alone (``allow`` and the provider's ``base_url``), and
the provider's client dials it through its guard.

An upstream that breaks off in the middle is broken off here too: the client's connection is closed before the
answer is complete, because by then no status can tell any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from callboard.config import AllowedRoute
from callboard.domain.meter import Meter
from callboard.errors import PermissionDenied
from callboard.providers.handler import ForwardedRequest, ForwardHandler
from callboard.serving.exchange import Exchange, too_large
from callboard.serving.proxy.passable import downward, upward
from callboard.serving.proxy.target import Target, read_target
from callboard.serving.routing import Route
from callboard.serving.visit import Visit
from callboard.transport.http import HttpResponse

EVENTS = "text/event-stream"


class Proxy:
    """See the module's docstring.

    Args:
        provider: Its configured name, for the closing line.
        handler: Passes requests on to it.
        allowed: Which ones.
    """

    def __init__(self, provider: str, handler: ForwardHandler, allowed: Sequence[AllowedRoute]) -> None:
        self._provider = provider
        self._handler = handler
        self._allowed = allowed

    def route(self, exchange: Exchange) -> Route | None:
        """The way on for a request that no route of ours answers; None where it may not pass."""
        target = read_target(exchange.target)
        if target is None:
            return None
        for entry in self._allowed:
            if entry.allows(exchange.method, target.segments):
                handle = partial(self._handle, target=target)
                return Route(method=entry.method, path=entry.pattern, handle=handle, works=True)
        return None

    async def _handle(self, visit: Visit, *, target: Target) -> None:
        if visit.principal.models is not None:
            # Nothing is read of what passes, the model neither.
            raise PermissionDenied("A key that is for some models only cannot be used here.")
        limit = visit.house.max_body_bytes
        length = visit.exchange.body_length()
        if length is not None and length > limit:
            raise too_large(limit)
        upload = None if length == 0 else _Incoming(visit.exchange, length, limit)
        await visit.exchange.attend(lambda: self._pass_on(visit, target, upload))

    async def _pass_on(self, visit: Visit, target: Target, upload: _Incoming | None) -> None:
        meter = visit.meter
        request = ForwardedRequest(
            method=visit.exchange.method,
            path=target.path,
            query=target.query,
            headers=upward(visit.exchange.headers),
            upload=upload,
        )
        meter.provider = self._provider
        meter.attempts = 1
        meter.enter("ttfb")
        try:
            answer = await self._handler.forward(request)
        finally:
            meter.enter("own")
        async with answer:
            await _pass_back(answer, visit.exchange, meter)


async def _pass_back(answer: HttpResponse, exchange: Exchange, meter: Meter) -> None:
    meter.stream = (answer.header("content-type") or "").startswith(EVENTS)
    await exchange.start(answer.status, downward(answer.status, answer.headers))
    await exchange.send(b"")  # the head does not wait for a body that may take its time
    while True:
        meter.enter("upstream")
        try:
            piece = await anext(answer, b"")
        finally:
            meter.enter("own")
        await exchange.send(piece, more=bool(piece))
        if not piece:
            return


class _Incoming:
    """A client's body on its way through; see `callboard.transport.http.Upload`."""

    def __init__(self, exchange: Exchange, length: int | None, limit: int) -> None:
        self.length = length
        self._exchange = exchange
        self._limit = limit

    async def piece(self) -> bytes:
        """The next piece, when the upstream has taken the one before."""
        return await self._exchange.piece(self._limit)
