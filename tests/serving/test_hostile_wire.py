"""Bytes that a proxy must not misread: one verdict for each, and never two requests made of one.

Behind every case stands one more request, the *sentinel*. Where the message framing is broken nobody can know
where the next request begins, so the connection is closed and the sentinel is not answered; where it is
whole, the sentinel is answered by itself, behind the answer to the case. On one event loop what is sent is
sent whole and passed on as it is, on the other in eight pieces and answered by actors.

Slow clients are here too: they may take their time, but not our memory, our places, or others' turns.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import anyio
import pytest

import callboard
from callboard.serving.http1 import ListenLimits
from callboard.tools.function import FunctionTool
from tests.fakes import hostile_bodies as bodies
from tests.fakes import hostile_framing as framing
from tests.fakes import hostile_heads as heads
from tests.fakes.hostile_framing import BODY, MIB, Case, chunked, get, post, sized
from tests.fakes.openai_traffic import Answer, Part, chat_stream, chunk, sse
from tests.fakes.relayed import Caller, Footprint, RawAnswer, Relayed, chat_body, raw_answers, relayed
from tests.fakes.upstream import Exchange, echo

SENTINEL = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: sentinel\r\nConnection: close\r\n\r\n"

PIECES = 300
"""Parts of a long answer, 100 kB each: nearly as much as an upstream may send."""

IN_SOCKETS = 24_000_000
"""More than the kernel keeps in the sockets between the upstream and a client, and less than the answer."""

pytestmark = pytest.mark.anyio

FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    *(framing.content_length, framing.transfer_encoding, framing.chunks),
    *(heads.fields, heads.request_line, heads.target, heads.host, heads.sizes, heads.expectations),
    *(bodies.json_bodies, bodies.media),
)


def test_there_are_enough_cases_and_no_two_alike() -> None:
    every = [each.raw for family in FAMILIES[:-2] for each in family()]
    assert len(every) >= 400
    assert [raw for raw, count in Counter(every).items() if count > 1] == []


async def said(port: int, raw: bytes, size: int) -> bytes:
    """Everything that the server says to these bytes, sent in pieces of ``size``."""
    received = b"no end came within its time"
    with Caller(port) as caller, anyio.move_on_after(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.send_all, raw, size)
            received = await caller.see_all()
            tasks.cancel_scope.cancel()
    return received


async def faults(over: Relayed, each: Case, size: int) -> list[str]:
    """What is wrong with what became of a case; nothing, where all is well."""
    calls = len(over.upstream.exchanges)
    try:
        received = await said(over.server.port, each.raw + SENTINEL, size)
        answers = [answer for answer in raw_answers(received) if answer.status != 100]
    except (AssertionError, KeyError) as broken:
        return [f"no whole answer: {broken!r}"]
    if not answers:
        return ["closed without a word"]
    first, *behind = answers
    found = [] if first.status in each.statuses else [f"{first.status}, not {set(each.statuses)}"]
    if first.field("x-request-id") == "sentinel":
        found.append("the sentinel was answered in its place")
    kept = [(answer.status, answer.field("x-request-id")) for answer in behind] == [(200, "sentinel")]
    if (behind and not kept) or {"kept": not kept, "closed": kept, "either": False}[each.after]:
        found.append(f"behind it came {[answer.status for answer in behind]}, and it should be {each.after}")
    if first.status != 200:
        found += shape_faults(first)
    asked = len(over.upstream.exchanges) - calls
    if asked != (each.works and first.status == 200):
        found.append(f"the upstream was asked {asked} times")
    return found


def shape_faults(answer: RawAnswer) -> list[str]:
    """What is wrong with an error's body."""
    try:
        error = json.loads(answer.body)["error"]
        good = error["type"] == "invalid_request_error" and error["message"]
    except (ValueError, KeyError, TypeError):
        good = False
    return [] if good else [f"error body {answer.body[:80]!r}"]


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS: dict[str, list[FunctionTool[..., object]]] = {"relay": [], "actors": [add]}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
async def test_one_verdict_for_each(family: Callable[[], Iterator[Case]], anyio_backend: object) -> None:
    in_pieces = anyio_backend == ("asyncio", {"use_uvloop": False})
    limits = ListenLimits(header_s=1, body_idle_s=1)
    wrong = []
    async with relayed(limits=limits, tools=PATHS["actors" if in_pieces else "relay"]) as over:
        for each in family():
            size = -(-len(each.raw + SENTINEL) // 8) if in_pieces else MIB
            wrong += [f"{each.raw[:160]!r}: {fault}" for fault in await faults(over, each, size)]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("before", [b"", get()], ids=["first", "second"])
async def test_a_head_that_comes_byte_by_byte_must_come_in_time(before: bytes) -> None:
    head = get(b"X: " + b"y" * 10_000)
    async with relayed(limits=ListenLimits(header_s=0.1)) as over:
        with Caller(over.server.port) as caller, anyio.fail_after(5):
            if before:
                caller.send(before)
                await caller.see(b"running")
            for at in range(len(head)):
                caller.send(head[at : at + 1])
                # At this pace the whole head would take a minute.
                if await caller.hears(within_s=0.005):
                    break
            *_, answer = raw_answers(await caller.see_all())
    assert answer.status == 408
    assert not shape_faults(answer)


STALLED = {
    "after-the-head": sized(BODY)[: -len(BODY)],
    "in-the-body": sized(BODY)[:-1],
    "after-a-size": post(b"Transfer-Encoding: chunked", body=b"5\r\n"),
    "in-a-size": post(b"Transfer-Encoding: chunked", body=b"5"),
    "in-a-chunk": post(b"Transfer-Encoding: chunked", body=b"5\r\n{"),
    "after-a-chunk": post(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n"),
    "before-the-trailers": post(b"Transfer-Encoding: chunked", body=chunked()[:-2]),
    "in-a-trailer": post(b"Transfer-Encoding: chunked", body=chunked()[:-2] + b"X: "),
}


@pytest.mark.parametrize("stalled", list(STALLED))
async def test_a_body_that_stalls_is_given_up_and_never_passed_on(stalled: str) -> None:
    async with relayed(limits=ListenLimits(body_idle_s=0.05)) as over:
        before = Footprint.of(over.server)
        with Caller(over.server.port) as caller:
            caller.send(STALLED[stalled])
            [answer] = raw_answers(await caller.see_all())
        await before.restored(over.server)
        assert answer.status == 408
        assert not shape_faults(answer)
        assert await over.outcomes() == []
        assert over.upstream.exchanges == []


def endless(exchange: Exchange) -> Answer:
    """Thirty megabytes for whoever asks for them, an echo for others."""
    if "flood" not in exchange.body.decode():
        return echo(exchange)
    piece = Part(sse(chunk({"content": "x" * 100_000})), tokens=1)
    whole = chat_stream("first", "last")
    return Answer(headers=whole.headers, parts=(*whole.parts[:2], *[piece] * PIECES, *whole.parts[2:]))


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("reads_on", [True, False], ids=["reads-on", "leaves"])
async def test_one_that_does_not_read_holds_up_the_upstream_and_nobody_else(
    path: str, reads_on: bool
) -> None:
    async with relayed(tools=PATHS[path]) as over:
        over.upstream.fallback = endless
        with Caller(over.server.port, receive_buffer=1 << 18) as caller, anyio.fail_after(20):
            caller.ask(chat_body("flood", stream=True), request_id="flood")
            flood = await over.upstream.exchange(0)
            sent = -1
            while flood.completion_tokens != sent:
                sent = flood.completion_tokens
                for _ in range(4):
                    answer = await over.server.client.post("/v1/chat/completions", json=chat_body("well"))
                    assert "echo: well" in answer.text
            assert sent * 100_000 < IN_SOCKETS
            if reads_on:
                assert await caller.skim(b"data: [DONE]\n\n") > PIECES * 100_000
            else:
                caller.leave("rst")
                await flood.peer_left.wait()
        outcomes = dict(await over.outcomes())
        assert outcomes["flood"] == ("completed" if reads_on else "cancelled")
        assert (flood.completion_tokens == PIECES + 2) == reads_on
