"""``[tools.NAME]``: what becomes of it, and one clear line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.config import load
from callboard.domain.tool_process import ProcessLimits, ToolProcess, Variable
from callboard.secret import Secret
from tests.config.files import lines_of, write

WHOLE = """
[tools.weather]
command = ["python3", "weather.py", "--fast"]
timeout_seconds = 2.5
idempotent = true
env = { KEY = "${WEATHER_KEY}", RETRIES = { type = "integer", default = 3 }, FAST = true, TZ = {} }
limits = { memory_mb = 64, cpu_seconds = 5, files = 20, processes = 8 }

[tools.off]
command = "off 'with one argument' \\"and another\\""
enabled = false
"""


def tools_of(folder: Path, text: str, **environ: str) -> tuple[ToolProcess, ...]:
    write(folder, text)
    return load(None, environ=environ, cwd=folder).tools


def test_a_table_becomes_a_tool(tmp_path: Path) -> None:
    weather, off = tools_of(tmp_path, WHOLE, WEATHER_KEY="k")
    assert weather == ToolProcess(
        name="weather",
        command=("python3", "weather.py", "--fast"),
        folder=str(tmp_path),
        timeout_s=2.5,
        idempotent=True,
        variables=(
            Variable(name="KEY", value=Secret("k")),
            Variable(name="RETRIES", type="integer", default=Secret("3")),
            Variable(name="FAST", type="boolean", value=Secret("true")),
            Variable(name="TZ"),
        ),
        limits=ProcessLimits(memory_mb=64, cpu_seconds=5, files=20, processes=8),
    )
    assert (off.command, off.enabled) == (("off", "with one argument", "and another"), False)


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    (tool,) = tools_of(tmp_path, '[tools.x]\ncommand = "x"\n')
    assert (tool.timeout_s, tool.idempotent, tool.enabled, tool.variables) == (60.0, False, True, ())
    assert tool.limits == ProcessLimits(memory_mb=1024, cpu_seconds=60, files=256)


def test_a_tool_runs_in_the_folder_of_the_file_that_names_it(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    write(tmp_path, '[tools.x]\ncommand = "./x"\n')
    (tool,) = load(None, environ={}, cwd=below).tools
    assert tool.folder == str(tmp_path)
    (tool,) = load({"tools": {"x": {"command": ["x"]}}}, environ={}, cwd=below).tools
    assert tool.folder == str(below)


def test_a_value_of_the_environment_may_have_a_type(tmp_path: Path) -> None:
    text = '[tools.x]\ncommand = "x"\nenv.N = { type = "integer", value = "${N}" }\n'
    (tool,) = tools_of(tmp_path, text, N="5")
    assert tool.variables == (Variable(name="N", type="integer", value=Secret("5")),)
    assert lines_of(tmp_path, text, {"N": "hush"}) == [
        "callboard.toml:3: [tools.x] env.N.value: expected a whole number"
    ]


@pytest.mark.parametrize(
    "body, line",
    [
        ("", "1: [tools.x] command: missing"),
        ("command = []", "2: [tools.x] command: empty; expected the program and its arguments"),
        ('command = ""', "2: [tools.x] command: empty; expected the program and its arguments"),
        ('command = ["", "x"]', "2: [tools.x] command: empty; expected the program and its arguments"),
        ("command = 3", "2: [tools.x] command: expected a list of strings, or one string"),
        ('command = ["a", 1]', "2: [tools.x] command: expected a list of strings, or one string"),
        ('command = "it\'s"', "2: [tools.x] command: a quotation has no end"),
        ('command = ["a\\u0000"]', "2: [tools.x] command: no argument can have a null character"),
        ('comand = "x"\ncommand = "x"', '2: [tools.x] comand: unknown key; did you mean "command"?'),
        (
            'command = "x"\ntimeout_seconds = 0',
            "3: [tools.x] timeout_seconds: expected a number > 0.0, got 0",
        ),
        (
            'command = "x"\nidempotent = "yes"',
            "3: [tools.x] idempotent: expected true or false, got a string",
        ),
        ('command = "x"\nenv = ["A=1"]', "3: [tools.x] env: expected a table, got a list"),
        (
            'command = "x"\nenv = { "A=B" = "1" }',
            "3: [tools.x] env.A=B: not the name of an environment variable",
        ),
        ('command = "x"\nenv = { A = ["hush"] }', "3: [tools.x] env.A: expected a string"),
        (
            'command = "x"\nenv = { A = { type = "int" } }',
            '3: [tools.x] env.A.type: expected "string", "integer", "number" or "boolean"',
        ),
        (
            'command = "x"\nenv = { A = { type = "integer", default = "hush" } }',
            "3: [tools.x] env.A.default: expected a whole number",
        ),
        (
            'command = "x"\nenv = { A = { defualt = 1 } }',
            '3: [tools.x] env.A.defualt: unknown key; did you mean "default"?',
        ),
        (
            'command = "x"\nlimits = { memory_mb = 0 }',
            "3: [tools.x] limits.memory_mb: expected a whole number >= 1, got 0",
        ),
        (
            'command = "x"\nlimits = { memory = 5 }',
            '3: [tools.x] limits.memory: unknown key; did you mean "memory_mb"?',
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, body: str, line: str) -> None:
    assert lines_of(tmp_path, f"[tools.x]\n{body}\n") == [f"callboard.toml:{line}"]


def test_a_name_is_one_that_every_dialect_allows(tmp_path: Path) -> None:
    assert lines_of(tmp_path, '[tools."a b"]\ncommand = "x"\n') == [
        "callboard.toml:1: [tools.a b]: expected a name of 1 to 64 letters, digits, '_' or '-'"
    ]


def test_tools_without_names_are_one_line(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "tools = 3\n") == ["callboard.toml:1: [tools]: expected a table for each name"]
