"""``POST /v1/chat/completions``, streamed and not.

Two paths, one shape. Where each provider that may serve the model speaks this dialect and no tool of ours is
on offer, the body is passed on as it came and the answer's bytes are passed back
(`callboard.serving.chat.relay`). Otherwise the request is decoded and an Assistant runs the turn, its events
encoded as they come. Either way there is one generation for each answer, the status is true until the first
byte is sent, and a client that leaves closes the upstream.

Source: OpenAI API, "Create chat completion".
"""

from __future__ import annotations

from callboard.actors.assistant import Respond, RespondWhole
from callboard.actors.order import TurnOrder
from callboard.domain.fold import Fold
from callboard.domain.preferences import AUTO
from callboard.domain.steps import in_turns
from callboard.domain.turn import ASIDES, TurnEvent
from callboard.errors import InvalidRequest
from callboard.serving.chat.relay import relay
from callboard.serving.choosing import chosen_body
from callboard.serving.events import EVENTS_AHEAD, EventStream
from callboard.serving.visit import Visit
from callboard.wire.openai_chat.encoder import ChunkEncoder
from callboard.wire.openai_chat.relay import peek
from callboard.wire.openai_chat.request import ChatRequest, decoding
from callboard.wire.openai_chat.response import encode_response


async def chat_completions(visit: Visit) -> None:
    """Answer a chat completion request."""
    body = await visit.document()
    asked = peek(body)
    visit.meter.stream = asked.stream
    if asked.model == AUTO:
        body = await chosen_body(visit, body)
        asked = peek(body)
    visit.principal.check_model(asked.model)
    if visit.house.relays(asked.model):
        await relay(visit, body, asked)
        return
    chat = await in_turns(decoding(body))
    if chat.n > 1:
        raise InvalidRequest("n must be 1 for this model.", param="n", code="unsupported_value")
    order = TurnOrder(
        request=chat.request,
        response_id=visit.house.new_id("chatcmpl-"),
        principal=visit.principal,
        meter=visit.meter,
    )
    if chat.stream:
        stream = EventStream(visit.exchange)
        await visit.exchange.attend(
            lambda: _stream(visit, chat, order, stream), heartbeat_s=visit.house.heartbeat_s
        )
    else:
        await visit.exchange.attend(lambda: _whole(visit, order))


async def _whole(visit: Visit, order: TurnOrder) -> None:
    fold = Fold()

    def take(event: TurnEvent) -> None:
        if not isinstance(event, ASIDES):
            fold.apply(event)

    await visit.house.assistant.ask(RespondWhole(order=order, take=take))
    answer = encode_response(
        fold.result(), id=order.response_id, model=order.request.model, created=int(visit.house.now_s())
    )
    await visit.exchange.respond(200, answer)


async def _stream(visit: Visit, chat: ChatRequest, order: TurnOrder, stream: EventStream) -> None:
    encoder = ChunkEncoder(
        id=order.response_id,
        model=order.request.model,
        created=int(visit.house.now_s()),
        include_usage=chat.include_usage,
    )

    def told(event: TurnEvent) -> bytes:
        return b"" if isinstance(event, ASIDES) else encoder.feed(event)

    async with visit.house.assistant.stream(Respond(order=order), buffer=EVENTS_AHEAD) as events:
        await stream.pass_on(events, told)
    await stream.finish()
