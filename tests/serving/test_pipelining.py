"""Requests sent behind one another on one connection, before their answers have come.

The rule (RFC 9112, 9.3.2, and 9.6 for the end of a connection):

- Answers come in the order of the requests, each whole before the next begins.
- A request that stands behind another is not begun before that one's answer is complete.
- After ``Connection: close``, an answer that closes, or bytes that are not HTTP, nothing further is begun.
- A client that leaves has left whatever it had sent behind: the request in work is cancelled as if it stood
  alone, and what stands behind it is never begun. (Who stops reading while at work does not notice.)
"""

from __future__ import annotations

import anyio
import pytest

import callboard
from callboard.tools.function import FunctionTool
from tests.fakes.openai_traffic import Answer, Gate, Part, chat, chat_stream
from tests.fakes.relayed import (
    Caller,
    Footprint,
    Leave,
    RawAnswer,
    Relayed,
    chat_body,
    chat_request,
    raw_answers,
    relayed,
)

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s\r\n%s\r\n"
LAST = GET % (b"last", b"Connection: close\r\n")


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS: dict[str, list[FunctionTool[..., object]]] = {"relay": [], "actors": [add]}

pytestmark = pytest.mark.anyio
each_path = pytest.mark.parametrize("path", list(PATHS))
each_form = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
each_leave = pytest.mark.parametrize("leave", ["fin", "rst"])


def held(gate: Gate, *, stream: bool) -> Answer:
    """An answer that waits in its middle."""
    if stream:
        return chat_stream("Hello", gate, " you")
    whole = chat("Hello you")
    [part] = whole.parts
    assert isinstance(part, Part)
    return Answer(headers=whole.headers, parts=(Part(part.data[:40]), gate, Part(part.data[40:])))


def asked(name: str, *, stream: bool = False, fields: tuple[str, ...] = ()) -> bytes:
    """A request whose text and id are ``name``."""
    return chat_request(chat_body(name, stream=stream), request_id=name, fields=fields)


def ids(answers: list[RawAnswer]) -> list[tuple[int, str | None]]:
    """What is compared: status, and whose answer it is."""
    return [(answer.status, answer.field("x-request-id")) for answer in answers]


async def next_one(over: Relayed) -> None:
    """The next client is served."""
    over.upstream.queue(chat("fine"))
    answer = await over.server.client.post("/v1/chat/completions", json=chat_body("next"))
    assert (answer.status_code, "fine" in answer.text) == (200, True)


BEHIND = {"get": GET % (b"second", b""), "post": asked("second"), "half": asked("second")[:100]}


@each_path
@each_form
@each_leave
@pytest.mark.parametrize("behind", list(BEHIND))
async def test_leaving_cancels_the_first_and_the_second_is_never_begun(
    path: str, stream: bool, leave: Leave, behind: str
) -> None:
    gate = Gate()
    async with relayed(tools=PATHS[path]) as over:
        over.upstream.queue(held(gate, stream=stream))
        before = Footprint.of(over.server)
        with Caller(over.server.port) as caller:
            caller.send(asked("first", stream=stream) + BEHIND[behind])
            with anyio.fail_after(5):
                await gate.reached.wait()
                exchange = await over.upstream.exchange(0)
                caller.leave(leave)
                await exchange.peer_left.wait()
        await before.restored(over.server)
        await over.left_line("first")
        assert len(over.upstream.exchanges) == 1
        await next_one(over)
        assert [outcome for _, outcome in await over.outcomes()] == ["cancelled", "completed"]
        assert not [line for line in over.stage.lines() if "request_id=second" in line]


@each_path
@each_leave
async def test_the_second_is_cancelled_when_its_client_leaves(path: str, leave: Leave) -> None:
    gate = Gate()
    async with relayed(tools=PATHS[path]) as over:
        over.upstream.queue(chat("one"), held(gate, stream=False))
        with Caller(over.server.port) as caller:
            caller.send(asked("first") + asked("second"))
            with anyio.fail_after(5):
                await gate.reached.wait()
                await caller.see(b"one")
                caller.leave(leave)
                await (await over.upstream.exchange(1)).peer_left.wait()
        await over.left_line("second")
        assert await over.outcomes() == [("first", "completed"), ("second", "cancelled")]


@each_path
@each_form
async def test_more_than_is_kept_behind_the_first_does_not_end_it(path: str, stream: bool) -> None:
    """Where so much stands behind that reading stops, the first goes on to its end."""
    gate = Gate()
    async with relayed(tools=PATHS[path]) as over:
        over.upstream.queue(held(gate, stream=stream))
        with Caller(over.server.port) as caller:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n"
            caller.send(asked("first", stream=stream) + head)
            caller.send_some(b"x" * 4_000_000)
            with anyio.fail_after(5):
                await gate.reached.wait()
                gate.opened.set()
                await caller.see(b" you")
                caller.leave("rst")
        assert await over.outcomes() == [("first", "completed")]
        assert len(over.upstream.exchanges) == 1


@each_path
@pytest.mark.parametrize("size", [1, 7, 100_000], ids=["bytes", "sevens", "whole"])
async def test_answers_come_whole_and_in_the_order_of_the_requests(path: str, size: int) -> None:
    async with relayed(tools=PATHS[path]) as over:
        names = ["one", "two", "three", "four"]
        sent = b"".join(
            (asked("one"), asked("two", stream=True), GET % (b"three", b""), asked("four", stream=True), LAST)
        )
        with Caller(over.server.port) as caller:
            with anyio.fail_after(5):
                for at in range(0, len(sent), size):
                    caller.send(sent[at : at + size])
                    await anyio.lowlevel.checkpoint()
                answers = raw_answers(await caller.see_all())
        assert ids(answers) == [(200, name) for name in (*names, "last")]
        assert b"echo: one" in answers[0].body
        for answer in (answers[1], answers[3]):
            assert answer.body.endswith(b"data: [DONE]\n\n")
        assert [name for name, _ in await over.outcomes()] == ["one", "two", "four"]


@each_path
async def test_the_second_is_not_begun_before_the_first_is_answered(path: str) -> None:
    gate = Gate()
    async with relayed(tools=PATHS[path]) as over:
        over.upstream.queue(held(gate, stream=True), chat("second"))
        with Caller(over.server.port) as caller:
            caller.send(asked("first", stream=True) + asked("second", fields=("Connection: close",)))
            with anyio.fail_after(5):
                await gate.reached.wait()
                await caller.see(b"Hello")
                await next_one_beside(over)
                assert [exchange.json()["stream"] for exchange in over.upstream.exchanges[:1]] == [True]
                assert len(over.upstream.exchanges) == 2
                gate.opened.set()
                answers = raw_answers(await caller.see_all())
        assert ids(answers) == [(200, "first"), (200, "second")]
        assert len(over.upstream.exchanges) == 3


async def next_one_beside(over: Relayed) -> None:
    """Another client is served meanwhile; it takes the answer that was queued for the second."""
    answer = await over.server.client.post("/v1/chat/completions", json=chat_body("beside"))
    assert (answer.status_code, "second" in answer.text) == (200, True)


@pytest.mark.parametrize(
    "first, statuses",
    [
        (asked("a", fields=("Connection: close",)), [200]),
        (asked("a", fields=("Connection: keep-alive, Close",)), [200]),
        (GET.replace(b"1.1", b"1.0") % (b"a", b""), [200]),
        (GET % (b"a", b"Content-Length: x\r\n"), [400]),
        (b"\x00\x01\x02\r\n\r\n", [400]),
        (GET % (b"a", b"") + b"\x16\x03\x01\r\n\r\n", [200, 400]),
        (asked("a").replace(b"Content-Length: ", b"Content-Length: 9999999"), [413]),
    ],
    ids=["close", "close-in-a-list", "http/1.0", "bad-length", "no-http", "bad-second", "too-large"],
)
async def test_nothing_is_begun_behind_what_ends_the_connection(first: bytes, statuses: list[int]) -> None:
    async with relayed() as over:
        with Caller(over.server.port) as caller:
            caller.send(first + asked("behind"))
            answers = raw_answers(await caller.see_all())
        assert [answer.status for answer in answers] == statuses
        assert answers[-1].field("connection") == "close"
        assert len(over.upstream.exchanges) == sum(b"chat.completion" in answer.body for answer in answers)
        assert all(name != "behind" for name, _ in await over.outcomes())


@pytest.mark.parametrize(
    "first, status",
    [
        (chat_request({**chat_body(), "top_p": float("nan")}, request_id="a"), 400),
        (chat_request({**chat_body(), "model": "nobody"}, request_id="a"), 404),
        (GET.replace(b"/health", b"/nothing") % (b"a", b""), 404),
        (GET.replace(b"GET", b"DELETE") % (b"a", b""), 405),
        (GET.replace(b"GET", b"HEAD") % (b"a", b""), 200),
    ],
    ids=["invalid", "no-model", "no-route", "no-method", "head"],
)
async def test_a_refusal_of_the_first_does_not_touch_the_second(first: bytes, status: int) -> None:
    async with relayed() as over:
        with Caller(over.server.port) as caller:
            caller.send(first + asked("behind", fields=("Connection: close",)))
            answers = raw_answers(await caller.see_all(), bodiless=1 if b"HEAD" in first else 0)
        assert [answer.status for answer in answers] == [status, 200]
        assert await over.outcomes() == [("behind", "completed")]


async def test_a_flood_of_requests_is_answered_one_by_one() -> None:
    names = [f"n-{number}".encode() for number in range(300)]
    async with relayed() as over:
        with Caller(over.server.port) as caller:
            caller.send(b"".join(GET % (name, b"") for name in names) + LAST)
            answers = raw_answers(await caller.see_all())
        assert ids(answers) == [(200, name.decode()) for name in (*names, b"last")]
