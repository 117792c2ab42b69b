"""The actor that runs our own tools: what goes wrong is a result, and a tool knows whose call it is."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio import from_thread

import callboard
from callboard.actors.tool_runner import ListTools, RunTool, ToolRunner
from callboard.domain.arguments import tool_use
from callboard.domain.message import text_of
from callboard.domain.observation import Observation, ToolProgressed
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.kernel import ActorRef, Child, Supervisor, open_system
from callboard.tools.context import CallOrigin, ToolContext
from callboard.tools.function import FunctionTool, FunctionTools

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def runner(
    tools: Sequence[FunctionTool[..., object]], observe: list[Observation] | None = None
) -> AsyncIterator[ActorRef[ToolRunner]]:
    seen = [] if observe is None else observe
    child = Child(name="tool_runner", start=partial(ToolRunner, [FunctionTools(tools)], observe=seen.append))
    with anyio.fail_after(10):
        async with open_system(Supervisor(name="root", children=(child,)), observe=lambda _: None) as system:
            yield system.ref(child)


def call(name: str, arguments: str = "{}") -> RunTool:
    return RunTool(call=tool_use("call_1", name, arguments))


@callboard.tool
async def whose(context: ToolContext) -> str:
    """Say whose call it is."""
    await context.progress(1.0, "looking")
    return f"{context.call_id} {context.name} {context.request_id} {context.response_id} {context.tenant}"


async def test_a_tool_knows_where_its_call_comes_from() -> None:
    seen: list[Observation] = []
    origin = CallOrigin(request_id="req_1", response_id="resp_1", tenant="acme")
    async with runner([whose], seen) as tools:
        outcome = await tools.ask(RunTool(call=tool_use("call_1", "whose", "{}"), origin=origin))
    assert text_of(outcome.content) == "call_1 whose req_1 resp_1 acme"
    assert seen == [ToolProgressed(request_id="req_1", name="whose", fraction=1.0, message="looking")]


@callboard.tool(timeout_s=0.05)
async def dream() -> None:
    """Never end."""
    await anyio.sleep_forever()


async def test_a_tool_that_takes_too_long_was_stopped() -> None:
    async with runner([dream]) as tools:
        outcome = await tools.ask(call("dream"))
    assert outcome.is_error
    assert text_of(outcome.content) == "Tool 'dream' did not finish within 0.05 s and was stopped."


async def test_of_a_thread_that_takes_too_long_nobody_says_it_was_stopped() -> None:
    release, started = threading.Event(), anyio.Event()

    @callboard.tool(timeout_s=0.2)
    def block() -> None:
        from_thread.run_sync(started.set)
        release.wait(5)

    async with runner([block]) as tools:
        outcome = await tools.ask(call("block"))
        release.set()
    assert outcome.is_error
    assert text_of(outcome.content) == (
        "Tool 'block' did not finish within 0.2 s and was given up: "
        "nobody waits for it, but it may go on and still have its effect."
    )


async def test_unknown_tools_and_bad_arguments_are_results() -> None:
    async with runner([whose]) as tools:
        assert [each.name for each in await tools.ask(ListTools())] == ["whose"]
        unknown = await tools.ask(call("who"))
        unfit = await tools.ask(call("whose", '{"a": 1}'))
        junk = await tools.ask(call("whose", "nonsense"))
    assert unknown.is_error
    assert unfit.is_error
    assert junk.is_error
    assert "There is no tool named 'who'" in text_of(unknown.content)
    assert "unknown field `a`" in text_of(unfit.content)
    assert "not a JSON object" in text_of(junk.content)


class Slow(FunctionTools):
    """Says what it has when it is let."""

    def __init__(self, tools: Sequence[FunctionTool[..., object]]) -> None:
        super().__init__(tools)
        self.ready = anyio.Event()

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        await self.ready.wait()
        return await super().definitions()


async def test_a_source_that_is_slow_keeps_no_start_waiting_and_its_calls_wait_for_it() -> None:
    slow = Slow([whose])
    start = partial(ToolRunner, [slow], observe=lambda _: None, start_s=0.01)
    child = Child(name="tool_runner", start=start)
    outcomes: list[ToolOutcome] = []
    with anyio.fail_after(10):
        async with open_system(Supervisor(name="root", children=(child,)), observe=lambda _: None) as system:
            tools = system.ref(child)
            assert await tools.ask(ListTools()) == ()

            async def run() -> None:
                outcomes.append(await tools.ask(call("whose")))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await anyio.wait_all_tasks_blocked()
                assert outcomes == []
                slow.ready.set()
            assert [each.name for each in await tools.ask(ListTools())] == ["whose"]
    assert not outcomes[0].is_error
