"""Hosts of real servers behind the ToolRunner: calls, losses, returns, and what the model is told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.actors.tool_host import CallTool, GetHostState, HostState, ToolHost
from callboard.actors.tool_runner import ListHosts, ListTools, RunTool, ToolRunner
from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.observation import ToolDisabled, ToolNameTaken, ToolSourceDown, ToolSourceUp
from callboard.domain.tools import ToolOutcome
from callboard.kernel import ActorRef, Child, Supervisor, open_system
from callboard.kernel.lifecycle import Crashed, Escalated, LifecycleEvent, Restarted
from callboard.tools.definitions import SourceTool
from callboard.tools.mcp import OpenSession, ServerSettings
from callboard.tools.space import SourcePolicy, ToolSpace
from tests.fakes.mcp_servers import RAW, Heard, children, is_alive, raw, until

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Two are enough: the transport below is tested on all three."""
    return request.param


class Seen(Struct, eq=False):
    """What came of the hosts."""

    runner: ActorRef[ToolRunner]
    space: ToolSpace
    told: list[ToolSourceUp | ToolSourceDown | ToolDisabled | ToolNameTaken]
    lifecycle: list[LifecycleEvent]

    async def run(self, name: str, **arguments: object) -> ToolOutcome:
        """Run a tool as a model would call it."""
        call = ToolUseBlock(id="c", name=name, input=Raw(json.dumps(arguments).encode()))
        return await self.runner.ask(RunTool(call=call))

    async def run_again(self, name: str) -> ToolOutcome:
        """Run a tool whose outcome was lost."""
        call = ToolUseBlock(id="c", name=name, input=Raw(b"{}"))
        return await self.runner.ask(RunTool(call=call, again=True))

    async def text(self, name: str, **arguments: object) -> str:
        outcome = await self.run(name, **arguments)
        (block,) = outcome.content
        assert isinstance(block, TextBlock)
        return block.text

    async def names(self) -> list[str]:
        return [each.name for each in await self.runner.ask(ListTools())]

    async def states(self) -> dict[str, HostState]:
        return {each.server: each for each in await self.runner.ask(ListHosts())}

    async def up(self, *servers: str) -> None:
        for each in servers:
            while (await self.states())[each].state != "up":
                await anyio.sleep(0.005)

    @property
    def broken(self) -> list[LifecycleEvent]:
        return [each for each in self.lifecycle if isinstance(each, Crashed | Restarted | Escalated)]


@asynccontextmanager
async def hosting(*servers: ServerSettings, longest_retry_s: float = 30.0) -> AsyncIterator[Seen]:
    """A ToolRunner with a host for each server; nothing is left of them afterwards."""
    told: list[ToolSourceUp | ToolSourceDown | ToolDisabled | ToolNameTaken] = []
    lifecycle: list[LifecycleEvent] = []
    space = ToolSpace([each.name for each in servers], observe=told.append)
    patient = (replace(each, longest_retry_s=longest_retry_s) for each in servers)
    hosts = {
        each.name: Child(name=each.name, start=partial(ToolHost, each, Heard().desk(), space, told.append))
        for each in patient
    }
    child = Child(name="tool_runner", start=partial(ToolRunner, (), space, hosts, observe=lambda _: None))
    before = children()
    async with open_system(Supervisor(name="root", children=(child,)), observe=lifecycle.append) as system:
        yield Seen(system.ref(child), space, told, lifecycle)
    assert children() <= before


async def test_tools_appear_when_their_server_is_up_and_are_called_by_either_name() -> None:
    with anyio.fail_after(10):
        async with hosting(raw(name="one"), raw("hung", name="two", start_s=60.0)) as seen:
            assert await seen.names() == []
            await seen.up("one")
            assert "echo" in await seen.names()
            assert json.loads(await seen.text("echo", a=1)) == {"a": 1}
            assert json.loads(await seen.text("one__echo", a=2)) == {"a": 2}
            states = await seen.states()
            assert (states["one"].tools, states["one"].protocol) == (11, "2025-06-18")
            assert states["two"].state == "starting"
            assert await seen.text("two__x") == "The MCP server 'two' has no tool 'two__x' at the moment."
            assert "There is no tool named 'nope'" in await seen.text("nope")


async def test_a_call_fails_alone_when_its_server_dies_and_the_server_comes_back() -> None:
    with anyio.fail_after(15):
        async with hosting(raw(name="one"), raw(name="two")) as seen:
            await seen.up("one", "two")
            first = int(await seen.text("one__pid"))
            results: dict[str, str] = {}

            async def run(name: str) -> None:
                results[name] = await seen.text(name)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, "one__hang")
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(1):
                    os.kill(first, signal.SIGKILL)
                    await until(lambda: "one__hang" in results)
                    assert json.loads(await seen.text("two__echo", still="here")) == {"still": "here"}
            assert "failed with error: " in results["one__hang"]
            assert results["one__hang"].endswith("so it was not made again.")
            await until(lambda: sum(isinstance(each, ToolSourceUp) for each in seen.told) == 3)
            assert int(await seen.text("one__pid")) != first
            assert seen.broken == []
            (down,) = [each for each in seen.told if isinstance(each, ToolSourceDown)]
            assert (down.source, down.reason) == ("one", "its process closed its output")


async def test_a_server_that_cannot_start_troubles_nobody_and_its_calls_fail_at_once() -> None:
    with anyio.fail_after(10):
        async with hosting(raw("quits", name="bad"), raw(name="good")) as seen:
            await seen.up("good")
            await until(lambda: sum(isinstance(each, ToolSourceDown) for each in seen.told) >= 3)
            states = await seen.states()
            assert states["bad"].state == "down"
            assert states["bad"].reason == "its process ended with exit status 7"
            assert json.loads(await seen.text("echo", a=1)) == {"a": 1}
            assert seen.broken == []
            waits = [each.retry_s for each in seen.told if isinstance(each, ToolSourceDown)]
            assert waits == sorted(waits)


async def test_tools_of_a_server_that_stays_away_are_forgotten(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.symlink_to(RAW)
    with anyio.fail_after(15):
        async with hosting(raw(name="one", script=str(server))) as seen:
            await seen.up("one")
            server.unlink()
            await seen.run("die")
            assert "is not available" in await seen.text("echo")
            while await seen.names():
                await anyio.sleep(0.01)
            assert "has no tool" in await seen.text("one__echo")


async def test_an_idempotent_call_of_a_trusted_server_is_made_again_and_no_other(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    trusted, untrusted = SourcePolicy(trusted=True), SourcePolicy()
    with anyio.fail_after(15):
        async with hosting(raw(argument=mark, name="one", policy=untrusted)) as seen:
            await seen.up("one")
            assert "so it was not made again" in await seen.text("die_once")
        mark = str(tmp_path / "another")
        async with hosting(raw(argument=mark, name="one", policy=trusted)) as seen:
            await seen.up("one")
            assert await seen.text("die_once") == "alive"
            assert (await seen.run_again("count")).is_error is False
            assert (await seen.run_again("echo")).is_error


async def test_a_call_that_takes_too_long_is_stopped_and_cancelled_there() -> None:
    with anyio.fail_after(10):
        async with hosting(raw(policy=SourcePolicy(timeout_s=0.2))) as seen:
            await seen.up("raw")
            assert await seen.text("hang") == "Tool 'hang' did not finish within 0.2 s and was stopped."
            assert len(json.loads(await seen.text("cancelled"))) == 1


async def test_calls_to_one_server_wait_for_each_other_beyond_their_number() -> None:
    with anyio.fail_after(10):
        async with hosting(replace(raw(policy=SourcePolicy(timeout_s=1.0)), parallel=2)) as seen:
            await seen.up("raw")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(seen.run, "hang")
                tasks.start_soon(seen.run, "hang")
                await anyio.wait_all_tasks_blocked()
                with anyio.move_on_after(0.1) as waited:
                    await seen.run("echo")
                assert waited.cancelled_caught


async def test_a_list_that_changes_changes_what_is_offered_and_a_changed_tool_is_disabled() -> None:
    with anyio.fail_after(10):
        async with hosting(raw("changing", name="one", refresh_s=0.05)) as seen:
            await seen.up("one")
            while await seen.names() != ["same"]:
                await anyio.sleep(0.005)
            disabled = [each for each in seen.told if isinstance(each, ToolDisabled)]
            assert disabled[0].tool == "echo"
            assert "has changed" in disabled[0].reason
            assert "has no tool" in await seen.text("one__echo")


async def test_a_server_that_comes_back_with_another_definition_gets_no_calls(tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with hosting(raw("upgrade", str(tmp_path / "version"), name="one")) as seen:
            await seen.up("one")
            assert await seen.names() == ["die", "echo"]
            await seen.run("die")
            await until(lambda: sum(isinstance(each, ToolSourceUp) for each in seen.told) == 2)
            assert await seen.names() == ["die"]


async def test_names_that_mislead_are_left_out_and_text_is_cleaned() -> None:
    with anyio.fail_after(10):
        async with hosting(raw("names")) as seen:
            await seen.up("raw")
            tools = await seen.runner.ask(ListTools())
            assert [each.name for each in tools] == ["good", "with_dot", "with_slash"]
            assert {each.description for each in tools} == {"[31mRed text"}
            disabled = [each for each in seen.told if isinstance(each, ToolDisabled)]
            assert len(disabled) == 8
            assert json.loads(await seen.text("with_dot", a=1)) == {"a": 1}


async def test_arguments_are_looked_at_before_they_are_sent() -> None:
    policy = SourcePolicy(parameters={"aiContext": "Why?"})
    with anyio.fail_after(10):
        async with hosting(raw(policy=policy)) as seen:
            await seen.up("raw")
            assert "aiContext" in await seen.text("echo", a=1)
            assert json.loads(await seen.text("echo", a=1, aiContext="because")) == {"a": 1}
            call = ToolUseBlock(id="c", name="echo", input=Raw(b"[1]"))
            assert (await seen.runner.ask(RunTool(call=call))).is_error


async def test_a_flood_costs_the_session_and_nobody_else() -> None:
    with anyio.fail_after(15):
        async with hosting(raw(name="one"), raw(name="two")) as seen:
            await seen.up("one", "two")
            assert "more than 8 MiB" in await seen.text("one__flood", what="line")
            assert json.loads(await seen.text("two__echo", a=1)) == {"a": 1}
            await until(lambda: sum(isinstance(each, ToolSourceUp) for each in seen.told) == 3)
            left = int(await seen.text("one__grandchild"))
        assert not is_alive(left)


async def test_a_host_alone_says_how_it_is_and_answers_calls() -> None:
    space = ToolSpace(["raw"])
    told: list[object] = []
    host = Child(name="raw", start=partial(ToolHost, raw(), Heard().desk(), space, told.append))
    with anyio.fail_after(10):
        async with open_system(Supervisor(name="root", children=(host,)), observe=told.append) as system:
            ref = system.ref(host)
            assert await ref.ask(GetHostState()) == HostState(server="raw")
            while (await ref.ask(GetHostState())).state != "up":
                await anyio.sleep(0.005)
            outcome = await ref.ask(CallTool(tool="echo", arguments=Raw(b"")))
            assert outcome.content == (TextBlock(text="{}"),)


async def test_a_bug_of_a_host_is_its_calls_misfortune_and_not_their_turns() -> None:
    async def broken() -> OpenSession:
        raise ZeroDivisionError

    lifecycle: list[LifecycleEvent] = []
    space = ToolSpace(["raw"])
    space.put("raw", [SourceTool(name="echo")], SourcePolicy())
    start = partial(ToolHost, raw(), Heard().desk(), space, lambda _: None, opener=broken)
    runner = Child(
        name="tool_runner",
        start=partial(ToolRunner, (), space, {"raw": Child(name="raw", start=start)}, observe=lambda _: None),
    )
    with anyio.fail_after(10):
        async with open_system(
            Supervisor(name="root", children=(runner,)), observe=lifecycle.append
        ) as system:
            await until(lambda: any(isinstance(each, Escalated) for each in lifecycle))
            ref = system.ref(runner)
            call = ToolUseBlock(id="c", name="echo", input=Raw(b"{}"))
            outcome = await ref.ask(RunTool(call=call))
            assert outcome.is_error
            (state,) = await ref.ask(ListHosts())
            assert state.state == "down"
    assert not any(isinstance(each, Crashed) and each.path == "root/tool_runner" for each in lifecycle)
