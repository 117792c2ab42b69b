"""Requests that end in every way, and the ledger held against the bill of the upstream that they went to."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import anyio

from callboard.limits.ledger import LedgerLine
from tests.fakes.openai_traffic import PROMPT_TOKENS, Answer, Gate, Part, chat, chat_stream, failure, usage
from tests.fakes.relayed import Caller, Relayed, chat_body
from tests.fakes.upstream import Exchange

End: TypeAlias = Literal["full", "silent", "cut", "leave", "fail_once", "cancel", "delete", "walk_away"]
ENDS: tuple[End, ...] = ("full",) * 6 + ("silent", "silent", "leave", "leave", "cut", "fail_once")
"""``silent`` ends well without saying what it cost; ``fail_once`` is answered 500, then in full."""
HELD: tuple[End, ...] = ("leave", "cancel", "delete", "walk_away")
"""What happens while the upstream's answer is held after its first words."""
REPORTED: tuple[End, ...] = ("full", "fail_once", "walk_away")

BAD: tuple[End, ...] = ("cut", "fail_once")

ROUND = 100  # the runtime remembers 256 ledger lines
AT_ONCE = 8


class Case:
    """One request and how it shall end. Its name is its request id, and its text."""

    def __init__(self, chance: random.Random, name: str, end: End) -> None:
        self.name = name
        self.end: End = end
        self.stream = chance.random() < 0.5
        self.words = [f" w{number}" for number in range(chance.randint(1, 6))]
        self.gate = Gate()
        self.calls: list[Exchange] = []

    @property
    def reported(self) -> Exchange | None:
        """The upstream call that told its cost."""
        answered = [call for call in self.calls if call.completion_tokens]
        return answered[0] if answered and self.end in REPORTED else None

    def answer(self, exchange: Exchange) -> Answer:
        """What the upstream does for this call."""
        self.calls.append(exchange)
        match self.end:
            case "fail_once" if len(self.calls) == 1:
                return failure(500)
            case "full" | "fail_once":
                return self._whole()
            case "silent":
                return without_usage(self._whole(), len(self.words))
            case "cut":
                whole = self._whole()
                return Answer(
                    headers=whole.headers,
                    parts=whole.parts[:2],
                    prompt_tokens=PROMPT_TOKENS,
                    cut_after=None if self.stream else 50,
                    chunked=whole.chunked,
                    ending="fin",
                )
            case _:
                whole = self._whole()
                return Answer(
                    headers=whole.headers,
                    parts=(*whole.parts[:2], self.gate, *whole.parts[2:])
                    if self.stream
                    else (self.gate, *whole.parts),
                    prompt_tokens=PROMPT_TOKENS,
                )

    def _whole(self) -> Answer:
        return chat_stream(*self.words) if self.stream else chat("".join(self.words))

    async def run(self, over: Relayed) -> None:
        """Be the client."""
        body = chat_body(self.name, stream=self.stream)
        if self.end == "leave":
            caller = Caller(over.server.port)
            caller.ask(body, request_id=self.name)
            await self.gate.reached.wait()
            caller.leave("rst" if len(self.words) % 2 else "fin")
            return
        headers = {"x-request-id": self.name}
        answer = await over.server.client.post("/v1/chat/completions", json=body, headers=headers)
        if self.end in ("full", "silent"):
            assert answer.status_code == 200
        elif self.end == "cut":
            assert '"error"' in answer.text


def without_usage(answer: Answer, words: int) -> Answer:
    """The same answer from an upstream that does not say what it cost."""
    said = json.dumps(usage(words)).encode()
    parts = tuple(
        Part(part.data.replace(b'"usage": ' + said, b'"other": 1'), tokens=part.tokens)
        for part in answer.parts
        if isinstance(part, Part)
    )
    return Answer(
        headers=answer.headers, parts=parts, prompt_tokens=answer.prompt_tokens, chunked=answer.chunked
    )


Make: TypeAlias = Callable[[random.Random, str, End], Case]


async def one_round(
    over: Relayed, chance: random.Random, number: int, *, make: Make = Case, ends: Sequence[End] = ENDS
) -> None:
    """Many requests, a few at a time, and then the books.

    Those that end badly wait for each other, and for one that ends well after each: enough failures in a row
    and the provider rests, and nothing more would be seen.
    """
    names = [f"case-{number}-{i}" for i in range(ROUND)]
    cases = {
        name: make(chance, name, end) for name, end in zip(names, chance.choices(ends, k=ROUND), strict=True)
    }
    afterwards = {
        case.name: make(chance, f"{case.name}-after", "full") for case in cases.values() if case.end in BAD
    }
    waiting = list(cases.values())
    cases |= {case.name: case for case in afterwards.values()}
    over.upstream.fallback = lambda exchange: cases[text_of(exchange)].answer(exchange)
    one_at_a_time = anyio.Lock()

    async def client() -> None:
        while waiting:
            case = waiting.pop()
            if case.end not in BAD:
                await case.run(over)
                continue
            async with one_at_a_time:
                await case.run(over)
                await afterwards[case.name].run(over)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(client)
    accounts = await over.settled()
    lines = [line for line in accounts.recent if line.request_id in cases]
    check(cases, lines)
    assert all(case.calls for case in cases.values())
    for books in (accounts.tokens, accounts.cost_picousd):
        assert books.open == 0
        assert books.reserved == books.settled + books.released
    everything = next(iter(accounts.by_model.values()))
    assert everything.attempts == len(over.upstream.exchanges)
    assert everything.usage.total_tokens == accounts.tokens.settled
    assert everything.cost_picousd == accounts.cost_picousd.settled


def check(cases: dict[str, Case], lines: list[LedgerLine]) -> None:
    """Every attempt has one line, and those that the upstream told the cost of add up to its bill."""
    attempts = [(case.name, f"{at + 1}") for case in cases.values() for at in range(len(case.calls))]
    assert sorted((line.request_id, line.attempt_id.rpartition(".")[2]) for line in lines) == sorted(attempts)
    assert len({line.attempt_id for line in lines}) == len(lines)
    reported = [line for line in lines if line.cost_basis == "reported"]
    told = {case.name: case.reported for case in cases.values() if case.reported is not None}
    assert {line.request_id: (line.input_tokens, line.output_tokens) for line in reported} == {
        name: (call.prompt_tokens, call.completion_tokens) for name, call in told.items()
    }
    assert len(reported) == len(told)
    assert sum(line.cost_picousd for line in reported) == sum(
        (call.prompt_tokens + 2 * call.completion_tokens) * 1_000_000 for call in told.values()
    )
    outcomes = dict.fromkeys(("full", "silent", "walk_away"), "completed")
    outcomes |= {**dict.fromkeys(("leave", "cancel", "delete"), "cancelled"), "cut": "truncated"}
    for line in lines:
        end = cases[line.request_id].end
        if end in outcomes:
            assert line.outcome == outcomes[end]
        # What a provider refuses or fails to begin it does not charge for.
        assert (line.input_tokens > 0) == (line.outcome != "failed")


def text_of(exchange: Exchange) -> str:
    """The user's text, which is the case's name."""
    messages = exchange.json()["messages"]
    assert isinstance(messages, list)
    text = messages[0]["content"]
    assert isinstance(text, str)
    return text
