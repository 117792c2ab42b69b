"""One request, measured.

Latency and time to first token count from the *intended* start: had the caller wanted its answer from that
moment on, this is how long it would have waited. Times are ``time.perf_counter_ns``.
"""

from __future__ import annotations

from time import perf_counter_ns

from msgspec import Struct

from callboard.bench.dialect import read_whole, reading_of
from callboard.bench.plan import Api
from callboard.errors import Refusal, StreamIncomplete
from callboard.transport.http import HttpClient, HttpRequest, HttpResponse
from callboard.wire.sse import SseDecoder

ERROR_EVENT = "error_event"
"""The answer began well and then said that it failed."""

NOT_SENT = "not_sent"
"""The request was due while the most that may be in flight was."""


class Call(Struct, frozen=True, kw_only=True, eq=False):
    """A request that is sent over and over.

    Attributes:
        stream: Whether the answer is read as a stream of events.
    """

    request: HttpRequest
    api: Api
    stream: bool


class Outcome(Struct, kw_only=True, gc=False):
    """What became of one request.

    Attributes:
        intended_ns: When it was due.
        started_ns: When it was begun; later only where the loader was.
        first_ns: When the first content delta was there, or the head of an answer that is no stream; 0 for
            never.
        ended_ns: When the answer had been read, or the attempt had failed.
        error: ``http_429`` and the like, a type of `callboard.errors`, or `ERROR_EVENT`; None where all went
            well.
        received_bytes: Of the body.
        deltas: Events with content.
        tokens: Output tokens that the target reported, None where it did not.
        gaps_ns: Times between deltas, 0 between such as came in one read: their mean is right.
    """

    intended_ns: int
    started_ns: int
    first_ns: int = 0
    ended_ns: int = 0
    error: str | None = None
    received_bytes: int = 0
    deltas: int = 0
    tokens: int | None = None
    gaps_ns: list[int]


async def attempt(client: HttpClient, call: Call, intended_ns: int) -> Outcome:
    """Send one request and read its answer to the end.

    Whatever the target does wrong is the outcome's error, not an exception. Cancellation closes the
    connection.
    """
    outcome = Outcome(intended_ns=intended_ns, started_ns=perf_counter_ns(), gaps_ns=[])
    try:
        answer = await client.send(call.request)
        try:
            if not 200 <= answer.status < 300:
                outcome.error = f"http_{answer.status}"
                outcome.received_bytes = len(await answer.read())
            elif call.stream:
                await _read_stream(answer, call.api, outcome)
            else:
                await _read_whole(answer, outcome)
        finally:
            await answer.aclose()
    except Refusal as error:
        outcome.error = outcome.error or error.type
    outcome.ended_ns = outcome.ended_ns or perf_counter_ns()
    return outcome


async def _read_whole(answer: HttpResponse, outcome: Outcome) -> None:
    outcome.first_ns = perf_counter_ns()
    body = await answer.read()
    outcome.ended_ns = perf_counter_ns()
    outcome.received_bytes = len(body)
    outcome.tokens, failed = read_whole(body)
    if failed:
        outcome.error = ERROR_EVENT


async def _read_stream(answer: HttpResponse, api: Api, outcome: Outcome) -> None:
    decoder = SseDecoder()
    reading = reading_of(api)
    last_ns = 0
    async for piece in answer:
        now = perf_counter_ns()
        outcome.received_bytes += len(piece)
        for event in decoder.feed(piece):
            if reading.take(event.data):
                if last_ns:
                    outcome.gaps_ns.append(now - last_ns)
                else:
                    outcome.first_ns = now
                last_ns = now
                outcome.deltas += 1
    outcome.ended_ns = perf_counter_ns()
    outcome.tokens = reading.tokens
    if reading.failed:
        outcome.error = ERROR_EVENT
    elif not reading.over:
        raise StreamIncomplete("the stream ended before the answer was complete")
