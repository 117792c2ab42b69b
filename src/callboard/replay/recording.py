"""A response as a file that can be run again anywhere: what was asked, and everything that happened.

JSON lines: the first is the header, each further one an event of the log (`callboard.domain.turn_log`). What
the model said and what tools came to is among the events. The file holds the conversation in clear text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec
from msgspec import Raw, Struct

from callboard.domain.codec import decode_messages, encode_messages
from callboard.domain.item import owner_of
from callboard.domain.message import Message
from callboard.domain.turn_log import LogEvent, decode_events, encode_events
from callboard.errors import CallboardError, InvalidRequest, NotFound
from callboard.store.records import LIVE, ResponseRecord
from callboard.store.refusals import no_response
from callboard.store.store import Store

FORMAT = "callboard-replay-1"

ITEMS_AT_ONCE = 500
"""Items of a conversation that are read in one go."""


class Recording(Struct, frozen=True, kw_only=True):
    """See the module's docstring.

    Attributes:
        version: Of the Callboard that wrote it.
        record: The response as it is stored.
        max_rounds: Of its assistant.
        history: The conversation before it.
        log: From the first event to the last.
    """

    version: str
    record: ResponseRecord
    max_rounds: int
    history: tuple[Message, ...]
    log: tuple[LogEvent, ...]


class _Header(Struct, frozen=True, kw_only=True):
    format: str
    version: str
    id: str
    tenant: str
    created_at_s: int
    finished_at_s: int
    status: str
    model: str
    background: bool
    max_rounds: int
    order: Raw
    history: Raw
    input: Raw


async def record_response(
    store: Store, tenant: str, response_id: str, *, version: str, rounds_of: Callable[[bytes], int]
) -> Recording:
    """Take a response out of ``store``.

    Args:
        store: Is only read.
        tenant: Whose it is.
        response_id: One that has ended.
        version: To be written into the recording.
        rounds_of: How many rounds of tools the assistant of an order may make.

    Raises:
        UnknownResponse: The tenant has none of this id.
        InvalidRequest: It has not ended yet.
        StoreUnavailable: It cannot be read.
    """
    record = await store.response(tenant, response_id)
    if record is None:
        raise no_response(response_id)
    if record.status in LIVE:
        raise InvalidRequest(f"Response {response_id!r} has not ended yet.")
    history: tuple[Message, ...] = ()
    if record.previous_id is not None:
        chain = await store.chain(tenant, response_id)
        history = tuple(message for link in chain[:-1] for message in (*link.input, *link.produced))
    elif record.conversation_id is not None:
        history = await _before(store, record, record.conversation_id)
    log: list[LogEvent] = []
    while len(log) < record.version:
        segments = await store.segments(response_id, after=len(log) - 1)
        if not segments:
            raise no_response(response_id)
        for segment in segments:
            log += decode_events(segment.payload)[len(log) - segment.first :]
    return Recording(
        version=version,
        record=record,
        max_rounds=rounds_of(record.request),
        history=history,
        log=tuple(log),
    )


async def _before(store: Store, record: ResponseRecord, conversation_id: str) -> tuple[Message, ...]:
    """What stands in its conversation before what the response added; of one that is deleted nothing."""
    found: list[Message] = []
    after: str | None = None
    while True:
        try:
            page = await store.items(
                record.tenant, conversation_id, limit=ITEMS_AT_ONCE, after=after, order="asc"
            )
        except NotFound:
            return tuple(found)
        for item in page:
            owner = owner_of(item.id)
            if owner is not None and owner.response_id == record.id:
                return tuple(found)
            found.append(item.message)
        if len(page) < ITEMS_AT_ONCE:
            return tuple(found)
        after = page[-1].id


def encode_recording(recording: Recording) -> bytes:
    """The file."""
    record = recording.record
    header = _Header(
        format=FORMAT,
        version=recording.version,
        id=record.id,
        tenant=record.tenant,
        created_at_s=record.created_at_s,
        finished_at_s=record.finished_at_s or record.created_at_s,
        status=record.status,
        model=record.model,
        background=record.background,
        max_rounds=recording.max_rounds,
        order=Raw(record.request),
        history=Raw(encode_messages(recording.history)),
        input=Raw(encode_messages(record.input)),
    )
    lines = [msgspec.json.encode(header), *(encode_events([event])[1:-1] for event in recording.log)]
    return b"".join(line + b"\n" for line in lines)


def decode_recording(data: bytes) -> Recording:
    """What `encode_recording` wrote.

    Raises:
        InvalidRequest: It did not write this; says which line is wrong.
    """
    lines = data.splitlines()
    at = count(1)
    try:
        next(at)
        header = msgspec.json.decode(lines[0] if lines else b"", type=_Header)
        if header.format != FORMAT:
            raise InvalidRequest(f"the recording is of format {header.format!r}, not {FORMAT!r}")
        record = ResponseRecord(
            id=header.id,
            tenant=header.tenant,
            status="in_progress",
            created_at_s=header.created_at_s,
            finished_at_s=header.finished_at_s,
            model=header.model,
            background=header.background,
            request=bytes(header.order),
            input=decode_messages(header.input),
        )
        history = decode_messages(header.history)
        log = [decode_events(b"[%b]" % line)[0] for line in lines[1:] if next(at)]
    except (msgspec.MsgspecError, CallboardError) as error:
        if isinstance(error, InvalidRequest) and "format" in str(error):
            raise
        raise InvalidRequest(f"line {next(at) - 1} is not that of a recording: {error}") from error
    return Recording(
        version=header.version, record=record, max_rounds=header.max_rounds, history=history, log=tuple(log)
    )
