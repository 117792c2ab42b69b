"""Reading the log of a stored response as it is written, whoever writes it.

What this process writes to a response of its own wakes whoever waits for it (`callboard.store.watch`), at no
cost until then. Nobody tells of what another process writes, and nobody knows beforehand who will: so whoever
waits looks by himself, too, the more rarely the longer nothing comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

import anyio
from anyio.lowlevel import checkpoint

from callboard.domain.delta import GenerationStopped
from callboard.domain.turn_log import LogEvent, TurnBroken, decode_events
from callboard.errors import NotFound
from callboard.store.records import ResponseRecord, Segment
from callboard.store.store import Store
from callboard.store.watch import Watch

SEGMENTS_AT_ONCE = 128
EVENTS_AT_ONCE = 512

LOOK_AGAIN_S = 1.0
"""How soon a log is looked at again that nobody has told of."""

LONGEST_LOOK_S = 5.0
"""What that grows to, doubling, while nothing comes."""

OWN_LOOK_S = 30.0
"""The same for a response of this process: others do not write to it, and rarely end or delete it."""


async def coming(store: Store, watch: Watch, record: ResponseRecord) -> AsyncIterator[list[LogEvent]]:
    """The log of ``record`` from its first event to its last, as it is written.

    Raises:
        NotFound: The response was deleted.
    """
    read, look_s = 0, LOOK_AGAIN_S
    with watch.watching(record.id) as watcher:
        while True:
            segments = await store.segments(record.id, after=read - 1, limit=SEGMENTS_AT_ONCE)
            for events in in_steps(segments, read):
                read += len(events)
                yield events
                if isinstance(events[-1], GenerationStopped | TurnBroken):
                    return
                await checkpoint()
            if segments:
                look_s = LOOK_AGAIN_S
                continue
            now = await store.response(record.tenant, record.id)
            if now is None:
                raise NotFound("The response was deleted.")
            with anyio.move_on_after(OWN_LOOK_S if now.owner == store.owner else look_s):
                await watcher.wait()
            look_s = min(2 * look_s, LONGEST_LOOK_S)


async def logged(store: Store, record: ResponseRecord) -> AsyncIterator[list[LogEvent]]:
    """The log of ``record`` up to its version."""
    read = 0
    while read < record.version:
        segments = await store.segments(record.id, after=read - 1, limit=SEGMENTS_AT_ONCE)
        if not segments:
            return
        for events in in_steps(segments, read):
            yield events[: record.version - read]
            read += len(events)
            await checkpoint()


def in_steps(segments: Iterable[Segment], read: int) -> Iterator[list[LogEvent]]:
    """The events behind the first ``read`` of the log, as many at once as keep nobody else waiting."""
    step: list[LogEvent] = []
    for segment in segments:
        step += decode_events(segment.payload)[max(0, read - segment.first) :]
        while len(step) >= EVENTS_AT_ONCE:
            yield step[:EVENTS_AT_ONCE]
            del step[:EVENTS_AT_ONCE]
    if step:
        yield step
