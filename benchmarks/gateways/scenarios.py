"""What is measured: each scenario is a request, and a way to repeat it."""

from __future__ import annotations

import json
from typing import Literal

from msgspec import Struct

WARM_UP_S = 0.5
PACED_WARM_UP_S = 1.5
LONG_PROMPT_BYTES = 20_000

OPEN_STREAMS = (10, 100, 1_000, 10_000)
"""How many streams are open while growth is measured."""
OPEN_STREAMS_CHUNKS_PER_S = 4_000
"""Of all open streams together, however many they are: so only their number differs."""
OPEN_STREAMS_S = 90
"""How long each of them would last; they are broken off when enough was measured."""


class Scenario(Struct, frozen=True, kw_only=True):
    """A request and a way to repeat it.

    Attributes:
        model: What the mock does is in its name; see native/answers.h.
        dialect: Of the client; the upstream's is always that of chat completions.
        stored: Whether a response is to be kept; chat completions never are.
        chunks: Of each streamed answer; 0 where answers are not streamed.
        rate: Requests a second that start when they are due; None asks again as soon as answered.
        pace_s: From chunk to chunk where the mock times them; 0 where it does not.
        unit: What its throughput counts.
        saturates: Whether it is meant to keep the gateway's core busy all the time.
    """

    name: str
    title: str
    model: str = "mock"
    dialect: Literal["chat", "responses"] = "chat"
    stored: bool = False
    connections: int = 1
    chunks: int = 0
    rate: int | None = None
    pace_s: float = 0
    prompt_bytes: int = 20
    unit: Literal["req/s", "chunks/s"] = "req/s"
    saturates: bool = True

    @property
    def paced(self) -> bool:
        """Whether the mock times the chunks."""
        return self.pace_s > 0

    @property
    def due(self) -> float | None:
        """Its throughput where nothing holds it up; None where it takes what it can get."""
        return self.connections / self.pace_s if self.paced else self.rate

    def body(self, model: str) -> bytes:
        """The request's body, naming the model as this gateway calls it."""
        text = ("The quick brown fox jumps over the lazy dog. " * (self.prompt_bytes // 45 + 1))[
            : self.prompt_bytes
        ]
        stream = {"stream": True} if self.chunks else {}
        asked: dict[str, object] = {"messages": [{"role": "user", "content": text}]}
        if self.dialect == "responses":
            asked = {"input": text, "store": self.stored}
        return json.dumps({"model": model, **stream, **asked}).encode()

    def arguments(self, seconds: float) -> list[str]:
        """Options of the load generator."""
        warm_up = PACED_WARM_UP_S if self.paced else WARM_UP_S
        words = ["--connections", str(self.connections), "--seconds", str(seconds), "--warm-up", str(warm_up)]
        if self.chunks:
            words += ["--chunks", str(self.chunks)]
        if self.rate is not None:
            words += ["--rate", str(self.rate)]
        if self.paced:
            words += ["--stagger", "1"]
        return words


SCENARIOS = (
    Scenario(name="unary-c1", title="c1", saturates=False),
    Scenario(name="unary-c16", title="c16", connections=16),
    Scenario(name="unary-c64", title="c64", connections=64),
    Scenario(name="unary-c256", title="c256", connections=256),
    Scenario(name="prompt-20k-c16", title="20 KB c16", connections=16, prompt_bytes=LONG_PROMPT_BYTES),
    Scenario(
        name="stream-100-s16",
        title="streams of 100, s16",
        model="mock-stream-100",
        connections=16,
        chunks=100,
        unit="chunks/s",
    ),
    Scenario(
        name="responses-100-s16",
        title="chat to Responses events, s16",
        model="mock-stream-100",
        dialect="responses",
        connections=16,
        chunks=100,
        unit="chunks/s",
    ),
    Scenario(
        name="stored-c64",
        title="stored responses, c64",
        dialect="responses",
        stored=True,
        connections=64,
    ),
    Scenario(
        name="paced-200",
        title="200 paced streams",
        model="mock-paced-50ms-100",
        pace_s=0.05,
        connections=200,
        chunks=100,
        unit="chunks/s",
        saturates=False,
    ),
    Scenario(name="rate-1000", title="1,000 req/s", connections=64, rate=1_000, saturates=False),
)

SCENARIO: dict[str, Scenario] = {each.name: each for each in SCENARIOS}


def open_stream(count: int) -> Scenario:
    """One of ``count`` streams that are open at the same time."""
    pace_us = 1_000_000 * count // OPEN_STREAMS_CHUNKS_PER_S
    chunks = OPEN_STREAMS_S * 1_000_000 // pace_us
    name = f"open-streams-{count}"
    model = f"mock-paced-{pace_us}us-{chunks}"
    return Scenario(name=name, title=name, model=model, chunks=chunks, pace_s=pace_us / 1e6)


MODELS = tuple(dict.fromkeys(each.model for each in SCENARIOS))
"""Every model name that a gateway has to pass on."""

GROWTH_MODELS = tuple(open_stream(count).model for count in OPEN_STREAMS)
"""Further ones, for those gateways whose growth is measured."""
