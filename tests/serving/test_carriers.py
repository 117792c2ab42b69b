"""One contract for both carriers of the application: our own server, and somebody else's for ASGI."""

from __future__ import annotations

import json

import anyio
import pytest

import callboard
from callboard.tools.function import FunctionTool
from tests.fakes.openai_traffic import Answer, Gate, chat, chat_stream
from tests.fakes.relayed import Caller, Leave, Relayed, chat_body, relayed
from tests.fakes.served import Carrier

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("carrier", ["own", "uvicorn"])]
PATH = "/v1/chat/completions"


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS: dict[str, list[FunctionTool[..., object]]] = {"relay": [], "actors": [add]}
each_path = pytest.mark.parametrize("path", list(PATHS))


@each_path
async def test_an_answer_comes_whole_or_as_a_stream(carrier: Carrier, path: str) -> None:
    async with relayed(tools=PATHS[path], carrier=carrier) as over:
        over.upstream.queue(chat("Hello"))
        whole = await over.server.client.post(PATH, json=chat_body())
        over.upstream.queue(chat_stream("Hel", "lo"))
        streamed = await over.server.client.post(PATH, json=chat_body(stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == "Hello"
    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert whole.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/nothing", b"", 404),
        ("DELETE", "/health", b"", 405),
        ("POST", PATH, b"{", 400),
        ("POST", PATH, b'{"model": "none", "messages": []}', 404),
        ("POST", PATH, b"x" * 3000, 413),
        ("HEAD", "/health", b"", 200),
    ],
)
async def test_errors_are_the_dialects_own_with_a_true_status(
    carrier: Carrier, method: str, path: str, body: bytes, status: int
) -> None:
    async with relayed(carrier=carrier, config={"server": {"max_body_bytes": 2000}}) as over:
        headers = {"content-type": "application/json"} if body else {}
        answer = await over.server.client.request(method, path, content=body, headers=headers)
        again = await over.server.client.get("/health")
    assert answer.status_code == status
    if status != 200:
        assert json.loads(answer.content)["error"]["message"]
    assert again.status_code == 200


@each_path
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("leave", ["fin", "rst"])
async def test_a_client_that_leaves_closes_the_upstream(
    carrier: Carrier, path: str, stream: bool, leave: Leave
) -> None:
    gate = Gate()

    async def gone(over: Relayed) -> None:
        caller = Caller(over.server.port)
        caller.ask(chat_body(stream=stream))
        await gate.reached.wait()
        exchange = await over.upstream.exchange(0)
        caller.leave(leave)
        await exchange.peer_left.wait()

    async with relayed(tools=PATHS[path], carrier=carrier) as over:
        answer = chat_stream("a", "b") if stream else chat("ab")
        over.upstream.queue(Answer(headers=answer.headers, parts=(gate, *answer.parts)))
        with anyio.fail_after(5):
            await gone(over)
        accounts = await over.settled()
    assert [line.outcome for line in accounts.recent] == ["cancelled"]


async def test_a_client_that_leaves_the_line_is_served_nothing(carrier: Carrier) -> None:
    gate = Gate()
    config = {"server": {"max_concurrency": 1, "queue": 1}}
    async with relayed(carrier=carrier, config=config) as over:
        over.upstream.fallback = lambda _: chat_stream("a", gate, "b")
        first, second = Caller(over.server.port), Caller(over.server.port)
        with anyio.fail_after(5):
            first.ask(chat_body(stream=True), request_id="first")
            await gate.reached.wait()
            second.ask(chat_body(stream=True), request_id="second")
            while over.server.admission.in_work < 2:
                await anyio.lowlevel.checkpoint()
            full = await over.server.client.post(PATH, json=chat_body())
            second.leave()
            while over.server.admission.in_work > 1:
                await anyio.lowlevel.checkpoint()
            gate.opened.set()
            await first.see(b"[DONE]")
            first.leave()
        accounts = await over.settled()
    assert full.status_code == 503
    assert full.headers["retry-after"]
    assert len(over.upstream.exchanges) == 1
    assert [line.outcome for line in accounts.recent] == ["completed"]


async def test_a_silent_stream_gives_signs_of_life(carrier: Carrier) -> None:
    gate = Gate()
    config = {"server": {"heartbeat_seconds": 0.05}}
    async with relayed(carrier=carrier, config=config) as over:
        over.upstream.queue(chat_stream("first", gate, "last"))
        caller = Caller(over.server.port)
        caller.ask(chat_body(stream=True))
        with anyio.fail_after(5):
            await caller.see(b": keep-alive\n\n")
            gate.opened.set()
            await caller.see(b"[DONE]")
            caller.leave()
    assert caller.seen.index(b"first") < caller.seen.index(b": keep-alive") < caller.seen.index(b"last")
