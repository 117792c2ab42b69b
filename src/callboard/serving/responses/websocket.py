"""``GET /v1/responses`` and ``GET /responses``, upgraded to a WebSocket: turns on one connection.

A ``response.create`` message is the body of ``POST /v1/responses`` and is answered like it: what differs is
that the events come as messages, and that a turn which is stored nowhere can be followed as long as the
connection lasts (`callboard.serving.responses.socket_memory`).

Source: Open Responses specification, 2026-04-24, "WebSocket Transport"; OpenAI API, "WebSocket mode", for
``generate: false``.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from callboard.actors.order import TurnOrder
from callboard.domain.delta import GenerationStarted, GenerationStopped
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, tool_results, tool_uses
from callboard.domain.steps import in_turns
from callboard.domain.usage import Usage
from callboard.errors import Draining, InvalidRequest, MethodNotAllowed, UnknownResponse
from callboard.serving.choosing import chosen
from callboard.serving.events import EventStream
from callboard.serving.responses.create import finished_at, ordered, stream_turn
from callboard.serving.responses.socket_memory import Memory
from callboard.serving.responses.socket_message import MessageExchange
from callboard.serving.responses.socket_session import Session
from callboard.serving.visit import Visit
from callboard.wire.json import decode
from callboard.wire.openai_responses.request import ResponsesRequest, decoding
from callboard.wire.openai_responses.stream import ResponseEncoder


class _Event(Struct, frozen=True, kw_only=True):
    """What a message has beside the body of a POST, or must not have of it."""

    type: str
    previous_response_id: str | None = None
    generate: bool | None = None
    background: bool | None = None
    stream_id: Raw | UnsetType = UNSET


_EVENT = msgspec.json.Decoder(_Event)
_NOT_THE_MODELS = frozenset({"type", "generate"})


async def open_socket(visit: Visit) -> None:
    """Open a socket, and serve its messages when this request is done."""
    if not visit.house.ready():
        raise Draining("This server is shutting down.")
    exchange = visit.exchange
    socket = await exchange.open_socket(visit.house.max_body_bytes)
    exchange.afterwards = Session(exchange, socket, visit.house).run


async def create(visit: Visit) -> None:
    """Answer a message."""
    message = visit.exchange
    if not isinstance(message, MessageExchange):
        raise MethodNotAllowed("Messages come over a WebSocket only.")
    body = await visit.document()
    event = decode(body, _EVENT.decode, side="local")
    history = message.memory.take(event.previous_response_id)
    _refuse_what_we_lack(event)
    asked = chosen(visit, await in_turns(decoding(body)))
    visit.meter.stream = True
    if history is not None:
        _check_continuation(asked, history)
    if event.generate is False:
        await _warm_up(visit, message.memory, asked, history)
        return
    order, keep = ordered(visit, asked, streamed=True)
    order = replace(order, request=_without_envelope(asked))
    if history is not None:
        order = replace(order, history=history, previous_response_id=None)
    if not asked.store:
        order = _remembered(order, message.memory)
    await stream_turn(visit, order, keep)


def _refuse_what_we_lack(event: _Event) -> None:
    """``stream`` and ``stream_options`` must not be sent either; but what they ask for is what happens."""
    if event.type != "response.create":
        message = f"Unknown event {event.type[:64]!r}: response.create is what can be sent."
        raise InvalidRequest(message, param="type", code="unknown_event")
    for name, given in (("background", event.background), ("stream_id", event.stream_id is not UNSET)):
        if given:
            message = f"There is no {name!r} on a WebSocket of this server."
            raise InvalidRequest(message, param=name, code="unsupported_value")


def _check_continuation(asked: ResponsesRequest, history: tuple[Message, ...]) -> None:
    """Refuse what cannot follow a turn that only this connection remembers."""
    if asked.store:
        # Whoever followed it later would find half a conversation in the store.
        raise UnknownResponse(
            f"Previous response with id {asked.previous_response_id!r} is not stored: what is to be stored "
            "cannot follow it."
        )
    messages = asked.request.messages
    calls = {call.id for message in (*history, *messages) for call in tool_uses(message)}
    for result in (each for message in messages for each in tool_results(message)):
        if result.tool_use_id not in calls:
            missing = f"No tool call found for function call output with call_id {result.tool_use_id!r}."
            raise InvalidRequest(missing, param="input", code="invalid_value")


def _without_envelope(asked: ResponsesRequest) -> GenerationRequest:
    request = asked.request
    extra = {name: value for name, value in (request.extra or {}).items() if name not in _NOT_THE_MODELS}
    return replace(request, extra=extra or None)


def _remembered(order: TurnOrder, memory: Memory) -> TurnOrder:
    return replace(order, told=lambda conversation: memory.keep(order.response_id, conversation))


async def _warm_up(
    visit: Visit, memory: Memory, asked: ResponsesRequest, history: tuple[Message, ...] | None
) -> None:
    """Answer without asking a model: what was sent is remembered, and can be followed."""
    house = visit.house
    if asked.store:
        raise InvalidRequest(
            'What is not generated is not stored: send "store": false.',
            param="generate",
            code="unsupported_value",
        )
    house.check_model(asked.request.model)
    if history is None:
        history = ()
        if asked.previous_response_id is not None:
            chain = await house.store.chain(visit.principal.tenant, asked.previous_response_id)
            history = tuple(message for turn in chain for message in (*turn.input, *turn.produced))
    order, keep = ordered(visit, asked, streamed=True)
    encoder = ResponseEncoder(id=order.response_id, created_at=keep.created_at_s, echo=keep.echo)
    told = encoder.feed(GenerationStarted(id=order.response_id, model=asked.request.model))
    told += encoder.feed(GenerationStopped(stop_reason="end_turn", usage=Usage()))
    memory.keep(order.response_id, (*history, *asked.request.messages))
    stream = EventStream(visit.exchange, encoder.fail)
    await stream.send(told + encoder.finish(finished_at(visit)))
    await stream.finish()
