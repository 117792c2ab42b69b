"""What is read of a stored response: the response itself, its stream from any point on, its input.

``GET`` and ``DELETE /v1/responses/{id}``, ``POST …/cancel``, ``GET …/input_items``.

There is one reading: the log is fed to the encoder that encodes live turns, so a response that is read again
is byte for byte the one that was sent. A stream follows the log of a live response until its end, whoever
writes it: this process, another one, or the one that will take it up after a crash.

Source: OpenAI API, "Get a model response", "Delete", "Cancel", "List input items".
"""

from __future__ import annotations

import msgspec

from callboard.actors.archivist import Commit
from callboard.actors.kept_order import decode_order
from callboard.domain.delta import GenerationStopped
from callboard.domain.turn_log import TurnBroken, encode_events
from callboard.errors import InvalidRequest, NotFound, Overloaded, VersionConflict
from callboard.serving.events import EventStream
from callboard.serving.query import Query
from callboard.serving.responses.following import coming, logged
from callboard.serving.visit import Visit
from callboard.store.changes import DeleteResponse, EndResponse
from callboard.store.records import LIVE, ResponseRecord, Segment
from callboard.wire.openai_responses.items import PAGE, encode_page, input_items
from callboard.wire.openai_responses.stream import ResponseEncoder, events_behind


async def retrieve(visit: Visit) -> None:
    """Answer with a stored response, or with its stream from ``starting_after`` on."""
    query = Query(visit.exchange)
    record = await _found(visit)
    if query.flag("stream"):
        await follow(visit, record, starting_after=query.number("starting_after", -1))
        return
    await visit.exchange.respond(200, await response_object(visit, record))


async def delete(visit: Visit) -> None:
    """Delete a stored response; one that is live is given up."""
    record = await _found(visit)
    change = DeleteResponse(tenant=visit.principal.tenant, id=record.id)
    await visit.house.archivist.ask(Commit(changes=(change,)))
    await visit.house.give_up(decode_order(record.request).assistant, record.id)
    gone = {"id": record.id, "object": "response", "deleted": True}
    await visit.exchange.respond(200, msgspec.json.encode(gone))


async def cancel(visit: Visit) -> None:
    """End a response that is made in the background; one that has ended stays as it is."""
    record = await _found(visit)
    if not record.background:
        raise InvalidRequest("Only a response in the background can be cancelled.", code="not_cancellable")
    # First, lest its own writes are always ahead of the last one.
    await visit.house.give_up(decode_order(record.request).assistant, record.id)
    while record.status in LIVE:
        try:
            await visit.house.archivist.ask(Commit(changes=(_cancellation(visit, record),)))
        except VersionConflict:
            record = await _found(visit)  # it has gone on meanwhile
            continue
        record = await _found(visit)
    await visit.exchange.respond(200, await response_object(visit, record))


async def list_input_items(visit: Visit) -> None:
    """Answer with a page of the items that the response's request had."""
    query = Query(visit.exchange)
    record = await _found(visit)
    items = input_items(record.id, record.input)
    if query.order() == "desc":
        items.reverse()
    page = encode_page(items, limit=query.limit(PAGE), after=query.text("after"), before=query.text("before"))
    await visit.exchange.respond(200, page)


async def response_object(visit: Visit, record: ResponseRecord) -> bytes:
    """The Response object of a stored response, as it stands."""
    encoder = _encoder(record)
    async for events in logged(visit.house.store, record):
        for event in events:
            encoder.feed(event)
    if not encoder.response and record.finished_at_s is not None:
        encoder.finish(record.finished_at_s)
    return encoder.response or encoder.snapshot(record.status)


async def follow(visit: Visit, record: ResponseRecord, *, starting_after: int) -> None:
    """Answer with the stream of a stored response, from the event behind ``starting_after`` to the last."""
    visit.meter.stream = True
    encoder = _encoder(record)

    def last_words(error: BaseException) -> bytes:
        # This stream ends and the response goes on: it can be followed again later, from where it broke off.
        return b"" if isinstance(error, Overloaded) else encoder.fail(error)

    stream = EventStream(visit.exchange, last_words)

    async def pass_on() -> None:
        await stream.send(b"")  # it may be long until there is anything to tell
        async for events in coming(visit.house.store, visit.house.watch, record):
            told: list[bytes] = []
            for event in events:
                told.append(encoder.feed(event))
                if isinstance(event, GenerationStopped):
                    told.append(encoder.finish(await _finished_at(visit, record)))
            piece = events_behind(starting_after, b"".join(told))
            if piece:
                await stream.send(piece)
        await stream.finish()

    await visit.exchange.attend(pass_on, heartbeat_s=visit.house.heartbeat_s)


def _encoder(record: ResponseRecord) -> ResponseEncoder:
    echo = decode_order(record.request).echo
    return ResponseEncoder(id=record.id, created_at=record.created_at_s, echo=echo)


async def _finished_at(visit: Visit, record: ResponseRecord) -> int:
    ended = await visit.house.store.response(record.tenant, record.id)
    if ended is None or ended.finished_at_s is None:
        return int(visit.house.now_s())
    return ended.finished_at_s


async def _found(visit: Visit) -> ResponseRecord:
    response_id = visit.parameters["response_id"]
    record = await visit.house.store.response(visit.principal.tenant, response_id)
    if record is None:
        raise NotFound(f"Response with id {response_id!r} not found.")
    return record


def _cancellation(visit: Visit, record: ResponseRecord) -> EndResponse:
    last = encode_events([TurnBroken(why="cancelled")])
    return EndResponse(
        response_id=record.id,
        expected_version=record.version,
        segment=Segment(first=record.version, count=1, payload=last),
        status="cancelled",
        produced=(),
        finished_at_s=int(visit.house.now_s()),
    )
