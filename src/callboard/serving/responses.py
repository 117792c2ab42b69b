"""``POST /v1/responses`` and ``POST /responses``, streamed and not.

An Assistant runs the turn, and its events are encoded as they come; of the unstreamed answer only the last is
sent. The status is true until the first byte; what fails after it is told by ``response.failed``. Nothing is
kept, so that no answer can be followed by its id yet.

Source: OpenAI API, "Create a model response"; Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

from callboard.actors.assistant import Respond
from callboard.actors.live_turn import TurnOrder
from callboard.serving.events import EVENTS_AHEAD, EventStream
from callboard.serving.visit import Visit, in_turns
from callboard.wire.openai_responses.request import decoding
from callboard.wire.openai_responses.stream import ResponseEncoder


async def responses(visit: Visit) -> None:
    """Answer a request for a response."""
    body = await visit.document()
    asked = await in_turns(decoding(body))
    visit.meter.stream = asked.stream
    order = TurnOrder(
        request=asked.request,
        response_id=visit.house.new_id("resp_"),
        key=visit.principal.key,
        meter=visit.meter,
        previous_response_id=asked.previous_response_id,
    )
    encoder = ResponseEncoder(id=order.response_id, created_at=int(visit.house.now_s()), echo=asked.echo)
    if asked.stream:
        stream = EventStream(visit.exchange, encoder.fail)
        await visit.exchange.attend(
            lambda: _stream(visit, order, encoder, stream), heartbeat_s=visit.house.heartbeat_s
        )
    else:
        await visit.exchange.attend(lambda: _whole(visit, order, encoder))


async def _whole(visit: Visit, order: TurnOrder, encoder: ResponseEncoder) -> None:
    async with visit.house.assistant.stream(Respond(order=order), buffer=EVENTS_AHEAD) as events:
        async for event in events:
            encoder.feed(event)
    encoder.finish(int(visit.house.now_s()))
    await visit.exchange.respond(200, encoder.response)


async def _stream(visit: Visit, order: TurnOrder, encoder: ResponseEncoder, stream: EventStream) -> None:
    async with visit.house.assistant.stream(Respond(order=order), buffer=EVENTS_AHEAD) as events:
        await stream.pass_on(events, encoder.feed)
    await stream.send(encoder.finish(int(visit.house.now_s())))
    await stream.finish()
