"""``callboard tools``, and what other commands make of external tools."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.command import SCRIPTED, callboard, complaint
from tests.fakes.mcp_servers import RAW
from tests.tools.programs import PYTHON, program


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A configuration with a good tool, a broken one and one that is off."""
    program(tmp_path)
    program(tmp_path, name="broken", usage_code="sys.exit('no \\x1b[31mlicence')")
    python = json.dumps(PYTHON[0])
    return f"""
[tools.greet]
command = [{python}, "-I", "-S", "greet.py"]
env.KEY = "secret-canary"
[tools.broken]
command = [{python}, "broken.py"]
[tools.off]
command = "off"
enabled = false
"""


def good_only(config: str) -> str:
    return config.partition("[tools.broken]")[0]


def test_list_shows_every_tool_and_where_it_comes_from(tmp_path: Path, tools: str) -> None:
    done = callboard(tmp_path, "tools", "list", config=tools)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "greet   process   Greet somebody.",
        "broken  process   unavailable: --usage ended with exit status 1",
        "off     process   disabled",
    ]
    assert not (tmp_path / ".callboard").exists()


def test_list_speaks_json(tmp_path: Path, tools: str) -> None:
    done = callboard(tmp_path, "tools", "list", "--json", config=tools)
    greet, broken, off = json.loads(done.stdout)
    assert (greet["name"], greet["source"], greet["state"]) == ("greet", "process", "available")
    assert greet["command"] == PYTHON[0]
    assert "KEY" in greet["variables"]
    assert (broken["state"], broken["detail"]) == ("unavailable", "no \x1b[31mlicence")
    assert off["state"] == "disabled"
    assert "secret-canary" not in done.stdout


def test_where_there_are_no_tools_there_is_nothing_to_list(tmp_path: Path) -> None:
    done = callboard(tmp_path, "tools", "list", config=SCRIPTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = callboard(tmp_path, "tools", "check", "--json", config=SCRIPTED)
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_check_fails_where_one_tool_does_and_says_why(tmp_path: Path, tools: str) -> None:
    done = callboard(tmp_path, "tools", "check", config=tools)
    assert (done.returncode, done.stderr) == (1, "")
    greet, broken, off = done.stdout.splitlines()
    assert greet == f"ok   greet (process {PYTHON[0]})"
    assert broken.startswith("FAIL broken (process ")
    assert broken.endswith("): --usage ended with exit status 1: no \\x1b[31mlicence")
    assert off == "off  off (process off)"


def test_check_is_content_where_all_are_well(tmp_path: Path, tools: str) -> None:
    done = callboard(tmp_path, "tools", "check", config=good_only(tools))
    assert done.returncode == 0
    assert done.stdout.startswith("ok   greet ")


def test_call_prints_what_the_tool_answers(tmp_path: Path, tools: str) -> None:
    config = good_only(tools)
    done = callboard(tmp_path, "tools", "call", "greet", '{"name": "Ada"}', config=config)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"greeting": "Hello, Ada"}\n', "")
    done = callboard(tmp_path, "tools", "call", "greet", "-", config=config, stdin=b'{"name": "Bob"}')
    assert done.stdout == '{"greeting": "Hello, Bob"}\n'
    done = callboard(tmp_path, "tools", "call", "--json", "greet", '{"name": "Ada"}', config=config)
    answer = json.loads(done.stdout)
    assert answer == {
        "content": [{"type": "text", "text": '{"greeting": "Hello, Ada"}'}],
        "is_error": False,
    }


@pytest.mark.parametrize(
    "words, says",
    [
        (("greet",), "missing required field `name`"),
        (("greet", '{"name": 1}'), "Expected `string` at `$.name`"),
        (("great", "{}"), "There is no tool named 'great'. The available tools are: greet."),
    ],
)
def test_call_fails_as_the_tool_does(tmp_path: Path, tools: str, words: tuple[str, ...], says: str) -> None:
    done = callboard(tmp_path, "tools", "call", *words, config=good_only(tools))
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["[1]", "{", "Ada"])
def test_arguments_that_are_no_object_are_wrong_usage(tmp_path: Path, tools: str, text: str) -> None:
    done = callboard(tmp_path, "tools", "call", "greet", text, config=tools)
    assert done.returncode == 2
    assert complaint(done) == "the arguments are not a JSON object"


def test_doctor_looks_at_tools(tmp_path: Path, tools: str) -> None:
    done = callboard(tmp_path, "doctor", config=SCRIPTED + tools)
    assert done.returncode == 1
    _, _, greet, broken, model = done.stdout.splitlines()
    assert greet.startswith("ok   tool greet (process ")
    assert broken.startswith("FAIL tool broken (process ")
    assert model.startswith("ok   model echo")


def test_a_turn_calls_a_tool_and_the_log_says_so_without_what_was_said(tmp_path: Path, tools: str) -> None:
    script = """
[log]
level = "debug"
file = "log"
[providers.demo]
kind = "scripted"
[[providers.demo.script.replies]]
steps = [{ do = "tool", name = "greet", arguments = { name = "Ada" } }]
[[providers.demo.script.replies]]
steps = [{ do = "text", text = "Done." }]
[models.echo]
provider = "demo"
[assistants.default]
"""
    done = callboard(tmp_path, "ask", "Greet Ada.", config=script + tools)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Done.\n", "")
    lines = (tmp_path / "log").read_text().splitlines()
    (available,) = [line for line in lines if 'msg="tool available"' in line]
    assert available.endswith(f"name=greet source=process command={PYTHON[0]}")
    (unavailable,) = [line for line in lines if 'msg="tool unavailable"' in line]
    assert "level=WARN" in unavailable
    assert 'reason="--usage ended with exit status 1"' in unavailable
    assert "licence" not in unavailable
    (ended,) = [line for line in lines if 'msg="tool process ended"' in line]
    assert 'name=greet ending="ended with exit status 0"' in ended
    assert "stderr_bytes=0" in ended
    assert "request_id=req_" in ended
    text = "\n".join(lines)
    assert "Ada" not in text
    assert "secret-canary" not in text


@pytest.fixture
def servers() -> str:
    """A configuration with a server that has a tool of each kind, and one that is not there."""
    return f"""
[mcp.servers.raw]
command = '{sys.executable}'
args = ["-I", "-S", '{RAW}', "names"]
approve.always.tool_names = ["with.dot"]
deny = ["n*"]
[mcp.servers.gone]
command = "no-such-command-here"
"""


LISTED = [
    ("raw__good", "[31mRed text"),
    ("raw__with_dot", "(waits for approval) [31mRed text"),
    ("raw__with_slash", "[31mRed text"),
    ("raw__a__b", "disabled: its name has '__' in it"),
    ("raw__with space", "disabled: its name has characters other than"),
    ("raw__\\x1b[31mred", "disabled: its name has characters other than"),
    ("raw__\\u202ex", "disabled: its name has characters other than"),
    ("raw__good", "disabled: its definition has changed; to use the new one, set pins"),
    ("raw__outside", "disabled: its schema refers to another document"),
    ("raw__with_dot", "disabled: the server has another tool of this name before it"),
    (f"raw__{'n' * 64}", "disabled: the server's table does not allow it, or denies it"),
    ("gone", "unavailable: its command is not to be found, or not executable"),
]


def test_list_shows_the_tools_of_servers_too_with_what_becomes_of_them(tmp_path: Path, servers: str) -> None:
    done = callboard(tmp_path, "tools", "list", config=servers)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [re.split("  +", line) for line in done.stdout.splitlines()]
    assert [(name, source) for name, source, _ in lines] == [(name, "mcp") for name, _ in LISTED]
    for (_, _, said), (_, expected) in zip(lines, LISTED, strict=True):
        assert said.startswith(expected)
    done = callboard(tmp_path, "tools", "list", "--json", config=servers)
    reports = json.loads(done.stdout)
    assert [each["server"] for each in reports] == ["raw"] * 11 + ["gone"]
    assert [each["name"] for each in reports if each["waits"]] == ["raw__with_dot"]


def test_check_fails_where_a_server_is_not_there(tmp_path: Path, servers: str) -> None:
    done = callboard(tmp_path, "tools", "check", config=servers)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["ok   raw__good (mcp)", "ok   raw__with_dot (mcp): waits for approval"]
    assert "off  raw__outside (mcp): its schema refers to another document" in lines
    assert lines[-1] == "FAIL gone (mcp): its command is not to be found, or not executable"
    only = servers.partition("[mcp.servers.gone]")[0]
    assert callboard(tmp_path, "tools", "check", config=only).returncode == 0


def test_call_runs_a_tool_of_a_server_by_its_full_name_and_needs_no_approval(tmp_path: Path) -> None:
    server = f"""
[mcp.servers.raw]
command = '{sys.executable}'
args = ["-I", "-S", '{RAW}', "honest"]
approve = "always"
"""
    done = callboard(tmp_path, "tools", "call", "raw__echo", '{"a": 1}', config=SCRIPTED + server)
    assert (done.returncode, done.stdout) == (0, '{"a": 1}\n')
