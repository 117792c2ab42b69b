"""``POST /v1/responses`` and ``POST /responses``, streamed and not, in the background and not.

An Assistant runs the turn, and its events are encoded as they come; of the unstreamed answer only the last is
sent. The status is true until the first byte; what fails after it is told by ``response.failed``. A response
in the background is stored first and begun then; who wants to see it come reads its log like anybody else
(`callboard.serving.responses.stored`).

Source: OpenAI API, "Create a model response"; Open Responses specification, 2026-04-24.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Respond, RespondWhole, Undertake
from callboard.actors.order import Keeping, TurnOrder, record_of
from callboard.domain.steps import in_turns
from callboard.errors import Refusal
from callboard.serving.choosing import chosen
from callboard.serving.events import EVENTS_AHEAD, EventStream
from callboard.serving.idempotency import pledge
from callboard.serving.responses.conversations import conversation_of
from callboard.serving.responses.mcp_servers import check_servers
from callboard.serving.responses.references import kept_items
from callboard.serving.responses.stored import follow, response_object
from callboard.serving.visit import Visit
from callboard.store.changes import BeginResponse
from callboard.wire.openai_responses.request import ResponsesRequest, decoding
from callboard.wire.openai_responses.stream import ResponseEncoder


async def responses(visit: Visit) -> None:
    """Answer a request for a response."""
    body = await visit.document()
    asked = chosen(visit, await in_turns(decoding(body, kept=await kept_items(visit, body))))
    if asked.conversation_id is not None:
        await conversation_of(visit, asked.conversation_id)
    visit.meter.stream = asked.stream
    order, keep = ordered(visit, asked, streamed=asked.stream)
    if asked.background:
        await _begin(visit, order, keep, asked)
    elif asked.stream:
        await stream_turn(visit, order, keep)
    else:
        await visit.exchange.attend(lambda: _whole(visit, order, _encoder(order, keep)))


def ordered(visit: Visit, asked: ResponsesRequest, *, streamed: bool) -> tuple[TurnOrder, Keeping]:
    """What is asked of the assistant, and how it is kept where it is."""
    check_servers(visit.house, asked)
    keep = Keeping(
        created_at_s=int(visit.house.now_s()),
        streamed=streamed,
        background=asked.background,
        echo=Raw(msgspec.json.encode(asked.echo)),
    )
    order = TurnOrder(
        request=asked.request,
        response_id=visit.house.new_id("resp_"),
        principal=visit.principal,
        meter=visit.meter,
        items=asked.items,
        stopped=lambda: _reason(visit),
        previous_response_id=asked.previous_response_id,
        conversation_id=asked.conversation_id,
        keep=keep if asked.store else None,
        truncation=asked.echo.truncation,
        max_tool_calls=asked.max_tool_calls,
        approving=True,
        servers=asked.servers,
        remote=asked.remote,
    )
    return order, keep


def _reason(visit: Visit) -> Refusal | None:
    """What the client is told of an exchange that was stopped; None where nobody listens any more."""
    stopped = visit.exchange.stopped
    return stopped if isinstance(stopped, Refusal) else None


async def stream_turn(visit: Visit, order: TurnOrder, keep: Keeping) -> None:
    """Answer with the events of a turn, as they come."""
    encoder = _encoder(order, keep)
    stream = EventStream(visit.exchange, encoder.fail)
    await visit.exchange.attend(
        lambda: _stream(visit, order, encoder, stream), heartbeat_s=visit.house.heartbeat_s
    )


async def _whole(visit: Visit, order: TurnOrder, encoder: ResponseEncoder) -> None:
    await visit.house.assistant.ask(RespondWhole(order=order, take=encoder.feed))
    encoder.finish(finished_at(visit))
    await visit.exchange.respond(200, encoder.response)


async def _stream(visit: Visit, order: TurnOrder, encoder: ResponseEncoder, stream: EventStream) -> None:
    async with visit.house.assistant.stream(Respond(order=order), buffer=EVENTS_AHEAD) as events:
        await stream.pass_on(events, encoder.feed)
    await stream.finish(encoder.finish(finished_at(visit)))


async def _begin(visit: Visit, order: TurnOrder, keep: Keeping, asked: ResponsesRequest) -> None:
    """Store a response and have it seen to, whether or not anybody waits for it."""
    house = visit.house
    order.principal.check_model(order.request.model)
    house.check_model(order.request.model)
    record = record_of(order, keep, house.assistant_name)
    begin = (BeginResponse(record=record), *pledge(visit, record.id, streamed=asked.stream))
    visit.meter.response_id = record.id
    try:
        await house.archivist.ask(Commit(changes=begin))
        await house.assistant.tell(Undertake(record=record))
    except BaseException:
        house.adrift.let_go(record.id)  # it may be stored, and nobody sees to it
        raise
    if asked.stream:
        await follow(visit, record, starting_after=-1)
    else:
        await visit.exchange.respond(200, await response_object(visit, record))


def _encoder(order: TurnOrder, keep: Keeping) -> ResponseEncoder:
    return ResponseEncoder(
        id=order.response_id, created_at=keep.created_at_s, echo=keep.echo, streamed=order.meter.stream
    )


def finished_at(visit: Visit) -> int:
    """When the turn ended: as the store has it, where it does."""
    stored = visit.meter.finished_at_s
    return int(visit.house.now_s()) if stored is None else stored
