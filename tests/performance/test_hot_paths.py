"""The guard of the hot paths: how many calls of our own code one request costs, from door to door.

Calls are counted, not timed, so the figures are the same on every machine, and a change that makes a path
longer fails here by name. A path may grow by a twentieth; where it got shorter by a tenth, the figure is to
be lowered with it, or the guard would sleep.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import anyio
import pytest

import callboard
from callboard.tools.function import FunctionTool
from tests.fakes.openai_traffic import Answer, Part, chat, chat_stream
from tests.fakes.relayed import Caller, chat_body, relayed
from tests.performance.counting import counted

pytestmark = pytest.mark.anyio
FEW, MANY = 10, 60


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS: dict[str, list[FunctionTool[..., object]]] = {"relay": [], "actors": [add]}
UNLIMITED = {"limits": dict.fromkeys(("requests_per_minute", "tokens_per_minute", "parallel"), "unlimited")}
"""Each limit that is on costs a few calls more; which are, is the operator's to say."""

WORDS = [f"word{number} " for number in range(100)]


@pytest.fixture
def anyio_backend() -> object:
    """uvloop adds no frames of its own."""
    return ("asyncio", {"use_uvloop": True})


def in_one_piece(answer: Answer) -> Answer:
    """The same answer in one write: how a stream is cut on its way is not ours to decide."""
    parts = [part for part in answer.parts if isinstance(part, Part)]
    whole = Part(b"".join(part.data for part in parts), sum(part.tokens for part in parts))
    return replace(answer, parts=(whole,))


@pytest.mark.parametrize(
    "path, stream, calls",
    [("relay", False, 306), ("relay", True, 483), ("actors", False, 785), ("actors", True, 3820)],
)
async def test_a_request_costs_no_more_calls_than_it_did(path: str, stream: bool, calls: int) -> None:
    answer = in_one_piece(chat_stream(*WORDS)) if stream else chat("Hello you")
    ending = b"[DONE]" if stream else b"usage"
    async with relayed(tools=PATHS[path], config=UNLIMITED) as over:
        over.upstream.fallback = lambda _: answer
        caller = Caller(over.server.port)

        async def cost_of(requests: int) -> int:
            with counted() as counting:
                for _ in range(requests):
                    caller.seen = b""
                    caller.ask(chat_body(stream=stream))
                    await caller.see(ending)
                while over.server.admission.in_work:
                    await anyio.lowlevel.checkpoint()
            return counting.count

        with anyio.fail_after(30):
            await cost_of(FEW)
            few, many = await cost_of(FEW), await cost_of(MANY)
        caller.leave()
    each = (many - few) / (MANY - FEW)
    assert each <= 1.05 * calls, each
    if sys.version_info[:2] == (3, 11):  # later interpreters make fewer calls of the same code
        assert each >= 0.9 * calls, each
