"""Requests that end in every way there is: how the client behaves, what the upstream does, what must come.

A `Case` is one request; its name is its request id and its user text, by which the upstream knows what to do.
The `Mix` chooses cases by weight from a seed, plays both sides, and keeps the upstream's bill.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import msgspec
from msgspec import Struct

from tests.fakes.load import Heard, Wire, connect, post
from tests.fakes.openai_traffic import (
    PROMPT_TOKENS,
    Answer,
    Ending,
    Gate,
    Part,
    chat,
    chat_stream,
    completion,
    failure,
    json_answer,
)
from tests.fakes.relayed import chat_body
from tests.fakes.upstream import Exchange, FakeUpstream

MAX_BODY_BYTES = 64 * 1024
TIMEOUT_S = 2.0
SERVER = f"max_body_bytes = {MAX_BODY_BYTES}\nheader_seconds = 2\nbody_idle_seconds = 2\ndrain_seconds = 5"
PROVIDER = (
    f"timeouts = {{ first_byte_s = {TIMEOUT_S}, answer_s = {TIMEOUT_S}, idle_s = {TIMEOUT_S}, total_s = 20 }}"
)
"""What the server has to be configured with: every time-out is met, none is waited for long."""

WEIGHTS = {
    "whole": 52,
    "leave": 12,  # in the middle of a stream, or while the answer is awaited; with a FIN or a RST
    "cut": 6,
    "fail_once": 3,
    "busy_once": 3,
    "stall": 1,
    "bad_json": 6,
    "too_large": 2,
    "unknown_model": 4,
    "slow_reader": 3,
    "half_head": 1,
    "half_body": 2,
    "wrong_host": 4,
    "tool": 5,
}
REPORTED = {"whole", "fail_once", "busy_once", "slow_reader", "tool"}
"""Ends whose cost the upstream has told."""

RESTING = {429, 503}
"""What any call may be answered while the provider rests after too many failures."""

EXPECTED: dict[str, set[int]] = {
    "whole": {200},
    "cut": {200, 502},
    "fail_once": {200, 500, 502},
    "busy_once": {200, 429},
    "stall": {200, 504},
    "bad_json": {400},
    "too_large": {413},
    "unknown_model": {404},
    "slow_reader": {200},
    "wrong_host": {421},
    "tool": {200},
}


class Case(Struct, kw_only=True, eq=False):
    """One request and how it shall end.

    Attributes:
        form: A number that decides between the forms its kind has.
        calls: What came to the upstream because of it.
    """

    name: str
    kind: str
    stream: bool
    form: int
    words: int
    gate: Gate = msgspec.field(default_factory=Gate)
    calls: list[Exchange] = []

    def answer(self, exchange: Exchange) -> Answer:
        """What the upstream does for this call."""
        self.calls.append(exchange)
        first = len(self.calls) == 1
        match self.kind:
            case "fail_once" if first:
                answer = failure(500)
            case "busy_once" if first:
                answer = failure(429, retry_after="0.1")
            case "leave":
                answer = self._held()
            case "cut":
                answer = self._cut(("fin", "rst")[self.form % 2])
            case "stall" if self.stream and self.form % 2:
                answer = self._cut("stall")
            case "stall":
                answer = Answer(parts=(self.gate,))
            case "slow_reader":
                answer = chat_stream(*[" word" * 200] * 200)
            case "tool" if first:
                answer = _calling_the_tool()
            case _:
                answer = self._whole()
        return answer

    def _whole(self) -> Answer:
        words = [f" w{number}" for number in range(self.words)]
        return chat_stream(*words) if self.stream else chat("".join(words))

    def _held(self) -> Answer:
        whole = self._whole()
        shown = whole.parts[:2] if self.stream and self.form % 2 else ()
        return Answer(headers=whole.headers, parts=(*shown, self.gate), prompt_tokens=PROMPT_TOKENS)

    def _cut(self, ending: Ending) -> Answer:
        whole = self._whole()
        return Answer(
            headers=whole.headers,
            parts=whole.parts[:2],
            chunked=whole.chunked,
            prompt_tokens=PROMPT_TOKENS,
            cut_after=None if self.stream else 50,
            ending=ending,
        )


def _calling_the_tool() -> Answer:
    function = {"name": "add", "arguments": '{"a": 2, "b": 3}'}
    call = {"id": "call_1", "type": "function", "function": function}
    document = completion(None, finish_reason="tool_calls", tool_calls=[call])
    part = Part(json.dumps(document).encode())
    return Answer(headers=json_answer({}).headers, parts=(part,), chunked=False, prompt_tokens=PROMPT_TOKENS)


class Mix:
    """Both sides of the requests.

    Attributes:
        ends: How often each kind ended with each status; 0 is a client that left.
        bill: What the upstream has told that each request cost: prompt and completion tokens of each call.
        through: Names of the requests that must have a closing line.
        perhaps: Names of those that may have one: they broke off where only the server knows how far it got.
        unfair: What should not have come.
        late: Calls that the upstream saw only after their request was over: they had timed out unread.
    """

    def __init__(self, port: int, upstream: FakeUpstream, *, seed: int, tools: bool) -> None:
        self.ends: Counter[tuple[str, int]] = Counter()
        self.bill: dict[str, list[tuple[int, int]]] = {}
        self.through: set[str] = set()
        self.perhaps: set[str] = set()
        self.unfair: list[str] = []
        self.done = 0
        self.late = 0
        self._port = port
        self._upstream = upstream
        self._chance = random.Random(seed)
        self._weights = {kind: weight for kind, weight in WEIGHTS.items() if tools or kind != "tool"}
        self._open: dict[str, Case] = {}
        self._made = 0
        upstream.fallback = self._answer

    async def run(self, count: int, clients: int) -> None:
        """Make ``count`` requests, as many at once as there are clients."""
        last = self._made + count

        async def client() -> None:
            wire: Wire | None = None
            while self._made < last:
                wire = await self._play(self._next(), wire)
            if wire is not None:
                wire.leave()

        async with anyio.create_task_group() as tasks:
            for _ in range(clients):
                tasks.start_soon(client)

    def _next(self) -> Case:
        self._made += 1
        kind = self._chance.choices(list(self._weights), list(self._weights.values()))[0]
        streams = {"slow_reader": True, "tool": False}
        return Case(
            name=f"{kind}-{self._made}",
            kind=kind,
            stream=streams.get(kind, self._chance.random() < 0.5),
            form=self._chance.randrange(4),
            words=self._chance.randint(1, 6),
            calls=[],
        )

    def _answer(self, exchange: Exchange) -> Answer:
        messages = exchange.json()["messages"]
        assert isinstance(messages, list)
        case = self._open.get(messages[0]["content"])
        if case is None:
            self.late += 1
            return failure(500)
        return case.answer(exchange)

    async def _play(self, case: Case, wire: Wire | None) -> Wire | None:
        """Be the client of one case; returns the connection where it can be used again."""
        self._open[case.name] = case
        play = _PLAYS.get(case.kind, Mix._ask)
        if wire is None or wire.lost or play is not Mix._ask:
            if wire is not None:
                wire.leave()
            wire = await connect(self._port, slow=case.kind == "slow_reader")
        self._note(case, await play(self, case, wire))
        if case.kind in REPORTED:
            told = [(call.prompt_tokens, call.completion_tokens) for call in case.calls if call.prompt_tokens]
            if told:
                self.bill[case.name] = told
        del self._open[case.name]
        self._upstream.exchanges.clear()
        self.done += 1
        if play is Mix._ask:
            return wire
        wire.leave()
        return None

    def _note(self, case: Case, heard: Heard | None) -> None:
        status = heard.status if heard is not None else 0
        self.ends[case.kind, status] += 1
        if case.kind not in ("half_head", "half_body"):
            self.through.add(case.name)
        elif case.kind == "half_body":
            self.perhaps.add(case.name)
        if heard is None or case.kind not in EXPECTED:
            return
        resting = status in RESTING and heard.header(b"retry-after") is not None
        streamed = status == 200 and heard.header(b"content-type") != b"application/json"
        if not (status in EXPECTED[case.kind] or resting) or not (streamed or heard.is_json):
            self.unfair.append(f"{case.name}: {heard}")

    async def _ask(self, case: Case, wire: Wire) -> Heard | None:
        body: object = chat_body(case.name, stream=case.stream)
        host = "localhost"
        match case.kind:
            case "bad_json":
                body = json.dumps(body).encode()[:-1]
            case "unknown_model":
                body = {**chat_body(), "model": "nobody"}
            case "wrong_host":
                host = "rebound.example"
        wire.send(post(body, request_id=case.name, host=host))
        return await wire.answer()

    async def _large(self, case: Case, wire: Wire) -> Heard | None:
        request = post(b" " * (MAX_BODY_BYTES + 1), request_id=case.name)
        wire.send(request[: 1000 if case.form % 2 else None])
        return await wire.answer()

    async def _leave(self, case: Case, wire: Wire) -> Heard | None:
        wire.send(post(chat_body(case.name, stream=case.stream), request_id=case.name))
        async with anyio.create_task_group() as tasks:

            async def refused() -> None:
                await wire.see(b" 503 ")
                tasks.cancel_scope.cancel()

            tasks.start_soon(refused)
            await case.gate.reached.wait()
            tasks.cancel_scope.cancel()
        if case.gate.reached.is_set() and case.stream and case.form % 2:
            await wire.see(b" w0")
        wire.leave(reset=case.form >= 2)
        return None

    async def _half_head(self, case: Case, wire: Wire) -> Heard | None:
        return await self._half(case, wire, post(b"{}", request_id=case.name)[:60])

    async def _half_body(self, case: Case, wire: Wire) -> Heard | None:
        return await self._half(case, wire, post(chat_body(case.name), request_id=case.name)[:-5])

    async def _half(self, case: Case, wire: Wire, request: bytes) -> Heard | None:
        """Send a part of a request, and leave, or wait until the server has had enough."""
        wire.send(request)
        if case.form % 2:
            await wire.until_lost()
        wire.leave(reset=case.form >= 2)
        return None


_PLAYS: dict[str, Callable[[Mix, Case, Wire], Awaitable[Heard | None]]] = {
    "leave": Mix._leave,
    "too_large": Mix._large,
    "slow_reader": Mix._ask,
    "half_head": Mix._half_head,
    "half_body": Mix._half_body,
}
