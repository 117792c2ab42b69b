"""External programs as tools: good ones and bad ones, and what a model reads of them."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.message import text_of
from callboard.domain.observation import ToolAvailable, ToolProcessEnded
from callboard.domain.tool_process import ProcessLimits, ToolProcess, Variable
from callboard.errors import InvalidArguments
from callboard.secret import Secret
from callboard.tools.context import CallOrigin, ToolContext
from tests.tools.programs import USAGE, configured, program
from tests.tools.told import ENVIRON, NAME, Told, failing

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One event loop will do: `test_process` and `test_child` have shown that all do the same."""
    return "asyncio"


async def test_each_run_is_told_without_what_was_said(tmp_path: Path) -> None:
    body = "import sys; sys.stderr.write('warning'); print('\"x\"')"
    told = failing(tmp_path, body)
    context = ToolContext(origin=CallOrigin(request_id="req_1"))
    with anyio.fail_after(20):
        await told.source.call("greet", NAME, context)
    available, ended = told.heard
    assert isinstance(available, ToolAvailable)
    assert available.source == "process"
    assert Path(available.command).is_absolute()
    assert isinstance(ended, ToolProcessEnded)
    assert (ended.request_id, ended.name, ended.ending) == ("req_1", "greet", "ended with exit status 0")
    assert (ended.output_bytes, ended.complaint_bytes, ended.complaints) == (4, 7, "warning")
    assert ended.duration_us > 0


@pytest.mark.parametrize(
    "body, text",
    [
        ("print('\"plain words\"')", "plain words"),
        ("print('[1, 2]')", "[1, 2]"),
        ("print('7')", "7"),
        ("pass", "Tool returned no output."),
        ("print('null')", "Tool returned no output."),
        ("print('\"\"')", "Tool returned no output."),
    ],
)
async def test_what_it_prints_is_the_result(tmp_path: Path, body: str, text: str) -> None:
    outcome = await failing(tmp_path, body).call()
    assert (outcome.is_error, text_of(outcome.content)) == (False, text)


@pytest.mark.parametrize(
    "body, text",
    [
        ("sys.exit(3)", "Tool 'greet' ended with exit status 3."),
        (
            "print(json.dumps({'error': 'no such person'})); sys.exit(1)",
            'Tool \'greet\' ended with exit status 1. It said: {"error": "no such person"}',
        ),
        ("print('Traceback …'); sys.exit(1)", "Tool 'greet' ended with exit status 1."),
        ("sys.stderr.write('secret-canary'); sys.exit(1)", "Tool 'greet' ended with exit status 1."),
        ("os.kill(os.getpid(), 9)", "Tool 'greet' was ended by SIGKILL."),
        ("os.kill(os.getppid(), 9); os.read(0, 0); import time; time.sleep(60)", "was ended by SIGKILL."),
        ("print('Hello')", "Tool 'greet' did not answer in JSON."),
        ('print(\'{"a": 1} {"b": 2}\')', "Tool 'greet' did not answer in JSON."),
        ("print('NaN')", "Tool 'greet' did not answer in JSON."),
        ("os.write(1, b'\"\\xff\"')", "Tool 'greet' did not answer in JSON."),
        ("os.write(1, b'[\"\\xff\"]')", "Tool 'greet' did not answer in JSON."),
        ("print('[' * 100000)", "Tool 'greet' did not answer in JSON."),
        ("while True: os.write(1, b'x' * 65536)", "Tool 'greet' wrote more than 8 MiB and was stopped."),
    ],
)
async def test_what_goes_wrong_is_a_result_too(tmp_path: Path, body: str, text: str) -> None:
    outcome = await failing(tmp_path, body).call()
    assert outcome.is_error
    assert text_of(outcome.content).endswith(text)


async def test_a_program_beyond_its_processor_time_is_told(tmp_path: Path) -> None:
    endless = configured(program(tmp_path, "while True: pass"), limits=ProcessLimits(cpu_seconds=1))
    assert await Told(endless).text() == "Tool 'greet' used more than 1 s of processor time and was stopped."


async def test_a_program_beyond_its_memory_fails_alone(tmp_path: Path) -> None:
    hungry = configured(program(tmp_path, "bytearray(2**30)"), limits=ProcessLimits(memory_mb=128))
    assert await Told(hungry).text() == "Tool 'greet' ended with exit status 1."


async def test_a_program_that_vanished_is_told(tmp_path: Path) -> None:
    script = tmp_path / "greet"
    usage = msgspec.json.encode({"schema": {"description": "Say hi."}}).decode()
    script.write_text(
        "#!/bin/sh\n"
        f"case \"$1\" in --usage) echo '{usage}';; --health) echo '{{\"status\": true}}';; *) cat;; esac\n"
    )
    script.chmod(0o755)
    told = Told(ToolProcess(name="greet", command=("./greet",), folder=str(tmp_path)))
    assert await told.text() == '{"name": "Ada"}'  # a shell script will do
    script.unlink()
    assert await told.text() == "Tool 'greet' could not be run: No such file or directory."


async def test_a_folder_that_vanished_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    told = Told(replace(configured(program(tmp_path)), folder=str(folder)))
    assert await told.text() == '{"greeting": "Hello, Ada"}'
    folder.rmdir()
    assert await told.text() == "Tool 'greet' could not be started: No such file or directory"


async def test_arguments_that_do_not_fit_run_nothing(tmp_path: Path) -> None:
    told = failing(tmp_path, "pass")
    for arguments in (b"{}", b'{"name": 1}', b'{"name": "a", "b": 1}', b'"Ada"', b"{"):
        with pytest.raises(InvalidArguments):
            await told.call(arguments=Raw(arguments))
    assert [type(each) for each in told.heard] == [ToolAvailable]


async def test_arguments_are_a_json_object_even_where_the_model_wrote_nothing(tmp_path: Path) -> None:
    path = program(tmp_path, "sys.stdout.write(sys.stdin.read())", usage={"schema": {"name": "any"}})
    outcome = await Told(configured(path)).call(arguments=Raw(b" "))
    assert text_of(outcome.content) == "{}"


async def test_a_program_sees_what_was_declared_and_no_more(tmp_path: Path) -> None:
    usage = {
        **USAGE,
        "env": {"CITY": {"type": "string"}, "COUNT": {"type": "integer", "default": 3}, "NONE": {}},
    }
    path = program(tmp_path, "print(json.dumps(dict(os.environ)))", usage=usage)
    variables = (Variable(name="KEY", value=Secret("k-1")),)
    told = Told(configured(path, variables=variables))
    seen = msgspec.json.decode(await told.text())
    assert seen == {
        "PATH": ENVIRON["PATH"],
        "LC_CTYPE": "C.UTF-8",
        "KEY": "k-1",
        "CITY": "Oslo",
        "COUNT": "3",
    }
    (report,) = await told.source.reports()
    assert report.variables == ("CITY", "COUNT", "KEY", "LC_CTYPE", "PATH")
    assert "k-1" not in repr((report, told.heard))


@pytest.mark.parametrize(
    "words, reason, detail",
    [
        ({"usage_code": "sys.exit('no licence')"}, "--usage ended with exit status 1", "no licence"),
        ({"usage_code": "print('hi')"}, "--usage did not print what it should: it is no JSON", ""),
        ({"usage_code": "while True: print('x' * 9999)"}, "--usage printed more than 262144 bytes", ""),
        ({"health": "sys.exit(2)"}, "--health ended with exit status 2", ""),
        (
            {"health": "print('[]')"},
            "--health did not print what it should: Expected `object`, got `array`",
            "",
        ),
        (
            {"health": 'print(\'{"status": false, "details": "no disk"}\')'},
            "--health says that it is not well",
            "no disk",
        ),
    ],
)
async def test_a_program_that_is_not_well_is_unavailable(
    tmp_path: Path, words: dict[str, str], reason: str, detail: str
) -> None:
    told = Told(configured(program(tmp_path, **words)))
    assert await told.why() == (reason, detail)
    outcome = await told.call()
    assert outcome.is_error
    assert text_of(outcome.content).startswith("There is no tool named 'greet'.")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("no-such-program", "there is no such program, or it may not be run"),
        ("./greet.py", "there is no such program, or it may not be run"),  # it is not executable
        ("/", "there is no such program, or it may not be run"),
    ],
)
async def test_a_program_that_is_none_is_unavailable(tmp_path: Path, name: str, reason: str) -> None:
    tool = configured(program(tmp_path))
    assert (await Told(replace(tool, command=(name,))).why())[0] == reason


async def test_a_missing_variable_makes_a_tool_unavailable(tmp_path: Path) -> None:
    tool = configured(program(tmp_path), variables=(Variable(name="TOKEN", required=True),))
    reason, _ = await Told(tool).why()
    assert reason == "environment variable TOKEN is required and has no value"


async def test_a_program_that_hangs_keeps_nobody_from_starting(tmp_path: Path) -> None:
    hanging = program(tmp_path, name="hang", usage_code="import time; time.sleep(600)")
    told = Told(configured(hanging), configured(program(tmp_path)), probe_s=2)
    with anyio.fail_after(10):
        (definition,) = await told.source.definitions()
    assert definition.name == "greet"
    hung, well = await told.source.reports()
    assert (hung.state, hung.reason) == ("unavailable", "it did not say how it is within 2 s")
    assert well.state == "available"
