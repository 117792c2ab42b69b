"""External programs in turns: the whole way, from a model's call to the model's next word."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import callboard
from callboard.domain.message import text_of
from callboard.errors import ConfigurationError
from callboard.providers.script import Text, Tool
from tests.fakes.company import Stage, company, replies
from tests.tools.programs import PYTHON, Signs, exists, gone, program

pytestmark = pytest.mark.anyio


def tools(*paths: Path, **settings: object) -> dict[str, object]:
    """The configuration's section for these programs."""
    return {"tools": {path.stem: {"command": [*PYTHON, str(path)], **settings} for path in paths}}


async def test_a_model_calls_programs_and_reads_what_they_say_in_order(tmp_path: Path) -> None:
    greet = program(tmp_path)
    fails = program(tmp_path, "sys.exit(4)", name="fails")
    calls = [Tool(name=each, arguments={"name": "Ada"}, id=each) for each in ("fails", "greet")]
    stage = Stage(demo=replies(calls, [Text(text="Done.")]))
    with anyio.fail_after(20):
        async with company(stage, config=tools(greet, fails)) as runtime:
            reply = await runtime.ask("default", "Greet Ada.")
    assert reply.text == "Done."
    offered = stage.handlers["demo"].calls[0].request.tools
    assert [(each.name, each.description) for each in offered] == [
        ("greet", "Greet somebody.\nBy name."),
        ("fails", "Greet somebody.\nBy name."),
    ]
    results = {run.call.name: run.result for run in reply.tool_runs}
    assert text_of(results["greet"].content) == '{"greeting": "Hello, Ada"}'
    assert results["fails"].is_error
    assert text_of(results["fails"].content) == "Tool 'fails' ended with exit status 4."


async def test_a_program_that_takes_too_long_is_ended_and_the_turn_goes_on(tmp_path: Path) -> None:
    slow = program(tmp_path, "while True: pass", name="slow")
    call = [Tool(name="slow", arguments={"name": "Ada"})]
    stage = Stage(demo=replies(call, [Text(text="Never mind.")]))
    config = tools(slow, timeout_seconds=1)
    with anyio.fail_after(20):
        async with company(stage, config=config) as runtime:
            reply = await runtime.ask("default", "go")
    assert reply.text == "Never mind."
    (run,) = reply.tool_runs
    assert text_of(run.result.content) == "Tool 'slow' did not finish within 1 s and was stopped."


async def test_leaving_a_turn_ends_the_program_it_called(tmp_path: Path) -> None:
    signs = Signs(tmp_path)
    endless = program(tmp_path, f"{signs.give}\nimport time; time.sleep(600)", name="endless")
    stage = Stage(demo=replies([Tool(name="endless", arguments={"name": "Ada"})]))
    with anyio.fail_after(20):
        async with company(stage, config=tools(endless)) as runtime, anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.ask, "default", "go")
            pid = await signs.pid()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await gone(pid)
    assert not exists(pid)


async def test_a_result_that_is_too_long_is_cut_with_a_mark(tmp_path: Path) -> None:
    long = program(tmp_path, "print(json.dumps('x' * 1_000_000))", name="long")
    stage = Stage(demo=replies([Tool(name="long", arguments={"name": "Ada"})], [Text(text="Long.")]))
    with anyio.fail_after(20):
        async with company(stage, config=tools(long)) as runtime:
            reply = await runtime.ask("default", "go")
    text = text_of(reply.tool_runs[0].result.content)
    assert text.endswith("[737856 bytes of this result were cut]")


async def test_a_broken_tool_keeps_nobody_from_starting(tmp_path: Path) -> None:
    broken = program(tmp_path, usage_code="sys.exit(1)", name="broken")
    stage = Stage(demo=replies([Tool(name="broken", arguments={})], [Text(text="There is none.")]))
    with anyio.fail_after(20):
        async with company(stage, config=tools(broken)) as runtime:
            reply = await runtime.ask("default", "go")
            (report,) = await runtime.tools()
    assert reply.text == "There is none."
    assert (report.state, report.reason) == ("unavailable", "--usage ended with exit status 1")
    assert any('msg="tool unavailable" name=broken' in line for line in stage.lines())


async def test_a_program_that_hangs_keeps_neither_the_start_nor_another_program_waiting(
    tmp_path: Path,
) -> None:
    hangs = program(tmp_path, usage_code="import time; time.sleep(600)", name="hangs")
    greet = program(tmp_path)
    calls = [Tool(name="greet", arguments={"name": "Ada"})]
    stage = Stage(demo=replies(calls, [Text(text="Done.")]))
    with anyio.fail_after(30):
        async with company(stage, config=tools(hangs, greet)) as runtime:
            assert not any('msg="tool unavailable"' in line for line in stage.lines())
            reply = await runtime.ask("default", "go")
            while not any('msg="tool unavailable" name=hangs' in line for line in stage.lines()):
                await anyio.sleep(0.01)
    assert reply.text == "Done."
    assert not reply.tool_runs[0].result.is_error
    assert [each.name for each in stage.handlers["demo"].calls[0].request.tools] == ["greet"]


async def test_a_program_and_a_function_of_one_name_are_refused_at_the_start(tmp_path: Path) -> None:
    @callboard.tool
    async def greet() -> None:
        """Greet."""

    stage = Stage(demo=replies())
    with anyio.fail_after(20), pytest.raises(ConfigurationError, match="two tools are named 'greet'"):
        async with company(stage, config=tools(program(tmp_path)), tools=[greet]):
            raise AssertionError("it does not start")
