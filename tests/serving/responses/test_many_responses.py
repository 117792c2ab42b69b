"""A hundred responses at once, all open at the same time: none has a word, a name or a number of another."""

from __future__ import annotations

import anyio
import httpx2
import pytest

import callboard
from tests.fakes.openai_traffic import Answer, Gate, chat_stream
from tests.fakes.relayed import relayed
from tests.fakes.served import Served
from tests.fakes.upstream import Exchange
from tests.oracles.responses_lifecycle import Data, events_in, violations

pytestmark = pytest.mark.anyio

STREAMS = 100
WORDS = 20
PATH = "/v1/responses"
CONFIG: dict[str, object] = {"store": {"url": "memory:", "max_responses": 2 * STREAMS}}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


class Streams:
    """The streams, and the upstream's part of each: some words, a wait for all, and the rest.

    Attributes:
        bodies: What came, by number.
    """

    def __init__(self) -> None:
        self.bodies: dict[int, bytes] = {}
        self._opened = 0
        self._gate = Gate()

    def words(self, number: int) -> list[str]:
        """No two streams have a word in common, nor the same number of words."""
        return [f"s{number}w{word} " for word in range(WORDS + number % 7)]

    def answer(self, exchange: Exchange) -> Answer:
        """What the upstream says to the request of a stream."""
        messages = exchange.json()["messages"]
        assert isinstance(messages, list)
        first, *rest = self.words(int(messages[-1]["content"]))
        return chat_stream(first, self._gate, *rest)

    async def read(self, server: Served, number: int) -> None:
        """Read one; the upstream goes on with all when each has shown its first word."""
        body = b""
        async with server.client.stream("POST", PATH, json=asked(number)) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                if b"output_text.delta" in piece and b"output_text.delta" not in body:
                    self._opened += 1
                    if self._opened == STREAMS:
                        self._gate.opened.set()
                body += piece
        self.bodies[number] = body


def asked(number: int) -> dict[str, object]:
    return {
        "model": "demo-model",
        "input": str(number),
        "stream": True,
        "instructions": f"I am {number}.",
        "metadata": {"number": str(number)},
    }


def data_of(body: bytes) -> list[Data]:
    events = events_in(body)
    assert violations(events) == []  # sequence numbers from 0 without a gap, one response's name, and more
    return [event.data for event in events if event.data is not None]


async def test_a_hundred_streams_at_once_are_independent() -> None:
    streams = Streams()
    async with relayed(tools=[add], config=CONFIG) as over:
        over.upstream.fallback = streams.answer
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number in range(STREAMS):
                    tasks.start_soon(streams.read, over.server, number)
            again = {
                number: await read_again(over.server.client, data_of(body)[0]["response"]["id"])
                for number, body in streams.bodies.items()
            }
        await over.settled()
    assert len(streams.bodies) == STREAMS
    assert again == streams.bodies
    names: set[str] = set()
    for number, body in streams.bodies.items():
        data, words = data_of(body), streams.words(number)
        last = data[-1]["response"]
        assert [each["delta"] for each in data if each["type"] == "response.output_text.delta"] == words
        assert (last["status"], last["instructions"]) == ("completed", f"I am {number}.")
        assert last["metadata"] == {"number": str(number)}
        assert [item["content"][0]["text"] for item in last["output"]] == ["".join(words)]
        assert last["usage"]["output_tokens"] == len(words)
        items = {each["item_id"] for each in data if "item_id" in each}
        assert items == {item["id"] for item in last["output"]}
        own = {last["id"], *items}
        assert len(own) == 2
        assert not own & names
        names |= own


async def read_again(client: httpx2.AsyncClient, name: str) -> bytes:
    """The stream of a stored response, as the store has it."""
    return (await client.get(f"{PATH}/{name}?stream=true")).content
