"""What a hundred MCP servers with a thousand tools cost: their start, their mention, and a call.

The servers are `benchmarks.micro.mcp_server`, each a process of its own beneath its launcher, in a runtime
with a scripted model. Measured are

- from the beginning of `open_runtime` until all servers are up and their tools on offer, by the clock: all of
  it is processes that start, so it depends on how many processors there are, and whether others use them;
- what it adds to a turn that the model may use tools: an assistant that may use all of them, against one that
  may use none, in turn about; of these tools `MAX_OFFERED` are mentioned;
- what it then costs to write those down for an upstream, which the scripted model does not need;
- what a round adds to a turn in which the model calls a tool of a server's, and for comparison one of ours.

All but the first are our own processor time, of the turn as a whole, stored response included. What the start
costs the processors altogether, divided by their number, is how long it takes at least.

    python -m benchmarks.micro.mcp_tools
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from msgspec import Struct

import callboard
from callboard.actors.tool_runner import ListTools
from callboard.config import LogConfig
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of, tool_results, user_text
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition
from callboard.providers.registry import Registry, default_registry
from callboard.providers.script import Reply, Script, Text, Tool
from callboard.providers.scripted import ScriptedHandler
from callboard.runtime import Runtime, open_runtime
from callboard.telemetry.logging import Log
from callboard.telemetry.sink import open_file
from callboard.tools.space import MAX_OFFERED
from callboard.wire.openai_chat.request import encode_request as encode_chat
from callboard.wire.openai_responses.upstream_request import encode_request as encode_response

SERVERS, TOOLS = 100, 1_000
BATCHES = 5
SAMPLES = 61
TOOL_ROUNDS = 8
TURNS_WITH_TOOLS = 11
ENCODINGS = 200
START_BAR_S, MENTION_BAR_US, ROUND_BAR_MS = 5.0, 50.0, 1.0

PROGRAM = str(Path(__file__).with_name("mcp_server.py"))
ARGUMENTS = {"text": "owls", "count": 3}


@callboard.tool
def find(text: str, count: int = 1) -> str:
    """Say the arguments again."""
    return f"{text} {count}"


class Caller(Script, frozen=True, kw_only=True):
    """Calls the tool that the user names, as often as he says: ``NAME COUNT``; then it ends."""

    def reply_to(self, request: GenerationRequest, number: int) -> Reply:
        """The next reply."""
        name, count = text_of(request.messages[0].content).split()
        done = sum(1 for message in request.messages if tool_results(message))
        if done < int(count):
            return Reply(steps=(Tool(name=name, arguments=ARGUMENTS, id=f"call_{done}"),))
        return Reply(steps=(Text(text="done", whole=True),))


class Figures(Struct, frozen=True, kw_only=True):
    """What was measured; mention and rounds are what they add to a turn."""

    start_s: float
    start_cpu_s: float
    others_cpu_s: float
    listing_us: float
    mention_us: float
    chat_us: float
    response_us: float
    server_round_ms: float
    own_round_ms: float


def registry() -> Registry:
    """A registry with the scripted model."""
    found = default_registry()
    found.register("scripted", lambda settings: ScriptedHandler(settings, script=Caller()), override=True)
    return found


def configuration() -> dict[str, object]:
    """A hundred servers, an assistant that may use all that they have, and one that may use nothing."""
    names = [f"s{number}" for number in range(SERVERS)]
    table = {"command": sys.executable, "approve": "never", "start_seconds": 60}
    servers = {name: {**table, "args": ["-I", "-S", PROGRAM, name]} for name in names}
    return {
        "providers": {"demo": {"kind": "scripted"}},
        "models": {"demo-model": {"provider": "demo"}},
        "assistants": {
            "able": {"model": "demo-model"},
            "unable": {"model": "demo-model", "tools": ["nothing"]},
        },
        "store": {"url": "memory:"},
        "mcp": {"servers": servers},
    }


async def all_up(runtime: Runtime) -> None:
    """Wait for every server."""
    while True:
        states = await runtime.tool_servers()
        if all(each.state == "up" for each in states):
            return
        await anyio.sleep(0.02)


async def cpu_s(work: Callable[[], Awaitable[object]]) -> float:
    """Our own processor time for ``work``."""
    begun = time.process_time()
    await work()
    return time.process_time() - begun


async def difference_s(
    more: Callable[[], Awaitable[object]], less: Callable[[], Awaitable[object]], samples: int
) -> float:
    """What the one costs beyond the other, run in turn about: the difference of their best medians.

    What else runs on the machine makes things dearer and never cheaper: the best is nearest to the truth.
    """
    best = [float("inf"), float("inf")]
    for _ in range(BATCHES):
        pairs = [[await cpu_s(more), await cpu_s(less)] for _ in range(samples)]
        medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
        best = [min(each) for each in zip(best, medians, strict=True)]
    return best[0] - best[1]


def encoding_us(encode: Callable[..., bytes], tools: Sequence[ToolDefinition]) -> float:
    """What ``tools`` add to the encoding of a request."""

    def once(offered: Sequence[ToolDefinition]) -> float:
        request = GenerationRequest(model="m", messages=(user_text("hello"),), tools=tuple(offered))
        begun = time.process_time()
        encode(request, upstream_name="m", traits=ModelTraits(), stream=True)
        return time.process_time() - begun

    with_tools: float = statistics.median(once(tools) for _ in range(ENCODINGS))
    without = statistics.median(once(()) for _ in range(ENCODINGS))
    return (with_tools - without) * 1e6


async def round_s(runtime: Runtime, tool: str) -> float:
    """What one round with a call of ``tool`` adds to a turn."""

    def turn(rounds: int) -> Callable[[], Awaitable[object]]:
        return lambda: runtime.ask("able", f"{tool} {rounds}")

    return await difference_s(turn(TOOL_ROUNDS), turn(0), TURNS_WITH_TOOLS) / TOOL_ROUNDS


async def measure() -> Figures:
    """Start the servers, and measure."""
    log = Log(open_file(os.devnull), LogConfig())
    begun, begun_cpu = time.perf_counter(), time.process_time()
    async with open_runtime(configuration(), tools=[find], registry=registry(), log=log) as runtime:
        await all_up(runtime)
        start_s, start_cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
        states = await runtime.tool_servers()
        assert sum(each.tools for each in states) == TOOLS
        tools = await runtime.tool_runner.ask(ListTools())
        assert len(tools) == MAX_OFFERED
        listings = [await cpu_s(lambda: runtime.tool_runner.ask(ListTools())) for _ in range(SAMPLES)]
        mention_s = await difference_s(
            lambda: runtime.ask("able", "nothing 0"), lambda: runtime.ask("unable", "nothing 0"), SAMPLES
        )
        server_round_s = await round_s(runtime, tools[-1].name)
        own_round_s = await round_s(runtime, "find")
    log.close()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Figures(
        start_s=start_s,
        start_cpu_s=start_cpu_s,
        others_cpu_s=others.ru_utime + others.ru_stime,
        listing_us=statistics.median(listings) * 1e6,
        mention_us=mention_s * 1e6,
        chat_us=encoding_us(encode_chat, tools),
        response_us=encoding_us(encode_response, tools),
        server_round_ms=server_round_s * 1e3,
        own_round_ms=own_round_s * 1e3,
    )


def main() -> int:
    """Print the figures; fail if one is over its bar."""
    found = anyio.run(measure, backend_options={"use_uvloop": True})
    print(
        f"start of {SERVERS} servers with {TOOLS} tools {found.start_s:6.2f} s (bar {START_BAR_S:.0f})"
        f"   processor time: our own {found.start_cpu_s:6.2f} s, of the servers {found.others_cpu_s:6.2f} s"
    )
    print(
        f"a turn may use {MAX_OFFERED} of {TOOLS} tools {found.mention_us:6.1f} us (bar {MENTION_BAR_US:.0f})"
        f"   to list them {found.listing_us:5.1f} us"
        f"   to write them for chat {found.chat_us:5.1f} us, for responses {found.response_us:5.1f} us"
    )
    print(
        f"a round with a tool of a server's {found.server_round_ms:6.2f} ms (bar {ROUND_BAR_MS:.0f})"
        f"   with one of ours {found.own_round_ms:6.2f} ms"
    )
    over = (
        found.start_s > START_BAR_S,
        found.mention_us > MENTION_BAR_US,
        found.server_round_ms > ROUND_BAR_MS,
    )
    return int(any(over))


if __name__ == "__main__":
    sys.exit(main())
