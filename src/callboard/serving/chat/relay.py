"""The relay path: a request whose client and upstream speak the same dialect is passed on as it came.

It is the ordinary path with two steps left out, decoding and the turn: the grant, the limits, the ledger,
retries before the first byte and the closing line are the same. The bytes that pass are metered, not decoded.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from anyio.lowlevel import checkpoint

from callboard.actors.provider_system import Demand, Grant
from callboard.actors.upstream import UpstreamCall
from callboard.domain.estimate import tokens_of_bytes
from callboard.domain.usage import Usage
from callboard.errors import Failure, StreamIncomplete
from callboard.serving.events import EventStream
from callboard.serving.visit import Visit
from callboard.transport.http import HttpResponse
from callboard.wire.openai_chat.relay import Peek, RelayMeter, rewrite
from callboard.wire.openai_chat.response import decode_usage

PART_BYTES = 16 * 1024
"""So much of an answer is looked through at once; between two parts others go on."""


def relay(visit: Visit, body: bytes, asked: Peek) -> Awaitable[None]:
    """Pass a chat completion request on, and its answer back.

    Args:
        visit: The client's.
        body: Its request, checked to be JSON.
        asked: What routing needs to know of it.
    """
    demand = Demand(
        model=asked.model,
        key=visit.principal.key_id,
        prompt_tokens=tokens_of_bytes(len(body)),
        max_output_tokens=asked.max_output_tokens,
    )
    relayed = _Relayed(UpstreamCall(visit.house.providers, demand, visit.meter), body, asked)
    if asked.stream:
        work = partial(_stream, visit, relayed, EventStream(visit.exchange))
        return visit.exchange.attend(work, heartbeat_s=visit.house.heartbeat_s)
    return visit.exchange.attend(partial(_whole, visit, relayed))


class _Relayed:
    """A request on its way upstream."""

    __slots__ = ("_body", "asked", "call")

    def __init__(self, call: UpstreamCall, body: bytes, asked: Peek) -> None:
        self.call = call
        self.asked = asked
        self._body = body

    def begin(self, grant: Grant) -> Awaitable[HttpResponse]:
        """Send it under ``grant``."""
        if grant.relay is None:
            raise Failure(f"provider {grant.spec.provider!r} cannot relay, and was routed to")
        stream = self.asked.stream
        body = rewrite(self._body, self.asked, model=grant.spec.upstream_name, include_usage=stream)
        self.call.consumed(Usage(input_tokens=tokens_of_bytes(len(body))), reported=False)
        return grant.relay.relay(body, stream=stream)


async def _whole(visit: Visit, relayed: _Relayed) -> None:
    async with relayed.call as call:
        answer = await call.begin(relayed.begin)
        try:
            body = await answer.read()
        finally:
            visit.meter.enter("own")
        if len(body) > PART_BYTES:
            await checkpoint()
        usage = decode_usage(body)
        if usage is not None:
            call.consumed(usage, reported=True)
        else:
            # The document is more than the answer in it, never less.
            call.consumed(call.estimated(tokens_of_bytes(len(body))), reported=False)
    if len(body) > PART_BYTES:
        await checkpoint()
    await visit.exchange.respond(answer.status, body)


async def _stream(visit: Visit, relayed: _Relayed, stream: EventStream) -> None:
    async with relayed.call as call, await call.begin(relayed.begin) as answer:
        await _pass_on(visit, call, answer, RelayMeter(relayed.asked), stream)
    await stream.finish()


async def _pass_on(
    visit: Visit, call: UpstreamCall, answer: HttpResponse, passing: RelayMeter, stream: EventStream
) -> None:
    meter = visit.meter
    try:
        while True:
            meter.enter("upstream")
            try:
                piece = await anext(answer, None)
            finally:
                meter.enter("own")
            if piece is None:
                break
            for at in range(0, len(piece), PART_BYTES):
                if at:
                    await checkpoint()
                shown = passing.feed(piece[at : at + PART_BYTES])
                if shown:
                    await stream.send(shown, between_events=passing.between_events)
        rest = passing.end()
        if rest:
            await stream.send(rest)
    finally:
        # One content delta is about one token, should the upstream never say.
        usage = passing.usage or call.estimated(passing.deltas)
        call.consumed(usage, reported=passing.usage is not None)
    if not passing.complete:
        raise StreamIncomplete("the upstream's answer ended before it was complete")
