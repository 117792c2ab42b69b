"""Runs a recorded turn again, through the actors that run live ones, and compares what clients are shown.

A turn that other processes went on with is run from where it was taken up the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
from msgspec import Struct
from msgspec.structs import replace

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Undertake
from callboard.actors.kept_order import decode_order, encode_order
from callboard.domain.delta import GenerationStopped
from callboard.domain.turn import ToolsListed
from callboard.domain.turn_log import LogEvent, TurnBroken, TurnInterrupted, decode_events, encode_events
from callboard.errors import InvalidRequest
from callboard.providers.handler import ProviderHandler
from callboard.providers.registry import Registry
from callboard.providers.settings import ProviderSettings
from callboard.replay.recording import Recording
from callboard.replay.stand_ins import RecordedModel, RecordedTools, generations
from callboard.runtime import Runtime, open_runtime
from callboard.store.changes import BeginResponse
from callboard.store.records import LIVE, ResponseRecord, Segment
from callboard.wire.openai_responses.stream import ResponseEncoder

HISTORY = "history"
QUIET_S = 5.0
"""A turn that has told of nothing for so long, and not ended, has come to a standstill."""


class Divergence(Struct, frozen=True, kw_only=True):
    """The first event of the stream that is not the same.

    Attributes:
        number: Counted from 0.
        recorded, replayed: The event on either side; empty where that has ended.
    """

    number: int
    recorded: bytes
    replayed: bytes


async def rerun(recording: Recording) -> Divergence | int:
    """Run ``recording`` again; returns where it diverged, or else how many events were the same.

    Raises:
        InvalidRequest: The recording tells of no turn that has ended.
    """
    if not recording.log or not isinstance(recording.log[-1], GenerationStopped | TurnBroken):
        raise InvalidRequest("the recording has no end")
    recorded = _stream_of(recording, recording.log)
    replayed = _stream_of(recording, await _again(recording))
    for number in range(max(len(recorded), len(replayed))):
        sides = [side[number] if number < len(side) else b"" for side in (recorded, replayed)]
        if sides[0] != sides[1]:
            return Divergence(number=number, recorded=sides[0], replayed=sides[1])
    return len(recorded)


def _stream_of(recording: Recording, log: Sequence[LogEvent]) -> list[bytes]:
    """The events that a client is sent."""
    record = recording.record
    encoder = ResponseEncoder(
        id=record.id, created_at=record.created_at_s, echo=decode_order(record.request).echo
    )
    told = b"".join([encoder.feed(event) for event in log])
    if log and isinstance(log[-1], GenerationStopped):
        told += encoder.finish(record.finished_at_s or record.created_at_s)
    return told.split(b"\n\n")[:-1]


async def _again(recording: Recording) -> list[LogEvent]:
    """The log of the turn, run again."""
    log = recording.log
    cuts = [at for at, event in enumerate(log) if isinstance(event, TurnInterrupted)]
    given, rest = (log[: cuts[-1]], log[cuts[-1] + 1 :]) if cuts else ((), log)
    model = recording.record.model
    config = {
        "server": {"max_rounds": recording.max_rounds},
        "providers": {"recorded": {"kind": "scripted"}},
        "models": {model: {"provider": "recorded"}},
        "store": {"url": "memory:"},
        "log": {"level": "error"},
    }
    registry = Registry()
    registry.register("scripted", partial(_recorded, RecordedModel(generations(rest))))
    async with open_runtime(config, sources=[RecordedTools(log)], registry=registry) as runtime:
        record = await _stored(runtime, recording, given)
        chat = runtime.system.ref(runtime.wiring.chat)
        await chat.tell(Undertake(record=record, log=given))
        # What somebody else ended is not ended by the turn itself.
        ended_outside = isinstance(log[-1], TurnBroken) and log[-1].why != "failed"
        found = await _log_of(runtime, record, until=len(log) - 1 if ended_outside else None)
    return [*found, log[-1]] if ended_outside else found


def _recorded(model: RecordedModel, settings: ProviderSettings) -> ProviderHandler:
    del settings
    return model


async def _stored(runtime: Runtime, recording: Recording, given: Sequence[LogEvent]) -> ResponseRecord:
    """Store the response as it was before the turn ran, behind its conversation."""
    record = recording.record
    order = decode_order(record.request)
    # What was called may be called: its tools have the names that the model gave, no others.
    whose = None if order.principal is None else replace(order.principal, tools=None)
    request = replace(order.request, model=record.model)
    order = replace(order, request=request, principal=whose, replayed=True)
    # A client is shown what a server has where nothing went before, and nowhere else.
    is_first = any(isinstance(event, ToolsListed) for event in recording.log)
    before = replace(record, id=HISTORY, status="completed", input=recording.history)
    begun = replace(
        record,
        status="queued" if record.background else "in_progress",
        request=encode_order(order),
        previous_id=None if is_first else HISTORY,
        produced=(),
        finished_at_s=None,
        version=len(given),
    )
    segments = (Segment(first=0, count=len(given), payload=encode_events(given)),) if given else ()
    changes = (BeginResponse(record=before), BeginResponse(record=begun, segments=segments))
    await runtime.archivist.ask(Commit(changes=changes))
    return begun


async def _log_of(runtime: Runtime, record: ResponseRecord, *, until: int | None) -> list[LogEvent]:
    """The log once the turn has ended, or has so many events, or stands still."""
    store = runtime.wiring.store
    with runtime.wiring.watch.watching(record.id) as watcher:
        while True:
            now = await store.response(record.tenant, record.id)
            if now is None or now.status not in LIVE or now.version == until:
                break
            with anyio.move_on_after(QUIET_S) as patience:
                await watcher.wait()
            if patience.cancelled_caught:
                break
    segments = await store.segments(record.id, limit=1 << 30)
    return [event for segment in segments for event in decode_events(segment.payload)][:until]
