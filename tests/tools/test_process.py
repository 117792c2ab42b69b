"""External programs as tools: listed, called, cancelled, on every event loop."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec import Raw

from callboard.domain.message import text_of
from callboard.errors import ConfigurationError
from callboard.tools.source import ReportingSource, ToolSource, ToolTraits
from tests.tools.programs import USAGE, Signs, configured, exists, gone, own_children, program
from tests.tools.told import Told, failing

pytestmark = pytest.mark.anyio

USAGE_TEXT = msgspec.json.encode(USAGE).decode()


async def test_a_program_is_a_tool(tmp_path: Path) -> None:
    told = Told(configured(program(tmp_path), timeout_s=3, idempotent=True))
    source: ToolSource = told.source
    with anyio.fail_after(20):
        (definition,) = await source.definitions()
    assert (definition.name, definition.description) == ("greet", "Greet somebody.\nBy name.")
    assert msgspec.json.decode(definition.input_schema) == USAGE["schema"]["parameters"]
    assert source.traits("greet") == ToolTraits(idempotent=True, timeout_s=3)
    assert source.traits("other") == ToolTraits()
    outcome = await told.call()
    assert not outcome.is_error
    assert text_of(outcome.content) == '{"greeting": "Hello, Ada"}'


async def test_programs_are_asked_once_however_many_want_to_know(tmp_path: Path) -> None:
    path = program(
        tmp_path, usage_code=f"open({str(tmp_path / 'asked')!r}, 'a').write('x'); print({USAGE_TEXT!r})"
    )
    told = Told(configured(path))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(told.source.definitions)
    assert (tmp_path / "asked").read_text() == "x"


async def test_a_disabled_tool_is_not_run(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    path = program(tmp_path, usage_code=f"open({str(asked)!r}, 'a')")
    told = Told(configured(path, enabled=False))
    assert await told.source.definitions() == ()
    (report,) = await told.source.reports()
    assert report.state == "disabled"
    assert told.heard == []
    assert not asked.exists()


async def test_cancelling_a_call_ends_its_program_and_its_children(tmp_path: Path) -> None:
    signs = Signs(tmp_path)
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    {signs.give}\n"
        "time.sleep(600)"
    )
    told = failing(tmp_path, stubborn)
    children = own_children()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(told.call)
            grandchild = await signs.pid()
            tasks.cancel_scope.cancel()
    with anyio.fail_after(1):
        await gone(grandchild)
    assert not exists(grandchild)
    assert own_children() == children


async def test_calls_run_side_by_side(tmp_path: Path) -> None:
    # Each waits for the other: one after the other they would wait for ever.
    body = (
        "me = json.load(sys.stdin)['name']; other = {'a': 'b', 'b': 'a'}[me]\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "if me == 'a': open('pipe', 'w').write('x')\n"
        "else: open('pipe').read()\n"
        "print(json.dumps(me))"
    )
    os.mkfifo(tmp_path / "pipe")
    told = failing(tmp_path, body)
    answers = []

    async def call(name: str) -> None:
        arguments = Raw(msgspec.json.encode({"name": name}))
        answers.append(text_of((await told.call(arguments=arguments)).content))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "a")
            tasks.start_soon(call, "b")
    assert sorted(answers) == ["a", "b"]


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    tool = configured(program(tmp_path))
    with pytest.raises(ConfigurationError, match="two tools are named 'greet'"):
        Told(tool, tool)


def test_it_can_report() -> None:
    assert isinstance(Told().source, ReportingSource)
