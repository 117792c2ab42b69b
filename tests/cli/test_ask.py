"""``callboard ask``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.command import SCRIPTED, UNREACHABLE, callboard, complaint
from tests.fakes.mcp_servers import RAW


def test_the_local_model_answers_without_any_configuration(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "What is the capital of France?")
    assert done.returncode == 0
    assert "Paris" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.stderr == ""


def test_a_dash_reads_the_question_from_standard_input(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "-", config=SCRIPTED, stdin=b"hello\nthere")
    assert done.returncode == 0
    assert done.stdout == "echo: hello\nthere\n"


def test_stray_bytes_on_standard_input_are_replaced(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "-", config=SCRIPTED, stdin=b"a\xffb")
    assert (done.returncode, done.stdout) == (0, "echo: a\ufffdb\n")


def test_stray_bytes_in_an_argument_are_replaced(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "a\udcffb", config=SCRIPTED)
    assert (done.returncode, done.stdout) == (0, "echo: a\ufffdb\n")


def test_json_is_the_whole_answer_as_one_line(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "--json", "hi", config=SCRIPTED)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert answer["text"] == "echo: hi"
    assert answer["reply"]["model"] == "echo"
    assert answer["reply"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_a_usage_error(tmp_path: Path, text: str) -> None:
    done = callboard(tmp_path, "ask", text, config=SCRIPTED)
    assert done.returncode == 2
    assert "TEXT is empty" in complaint(done)


def test_an_unknown_model_is_answered_with_the_near_name(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "-m", "ecco", "hi", config=SCRIPTED)
    assert done.returncode == 1
    assert complaint(done) == "model 'ecco' is not configured; did you mean 'echo'?"


def test_an_unknown_assistant_is_answered_with_those_there_are(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "-a", "defualt", "hi", config=SCRIPTED)
    assert done.returncode == 1
    assert complaint(done) == "assistant 'defualt' is not configured; there are: default"


def test_a_provider_out_of_reach_is_one_line(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "hi", config=UNREACHABLE)
    assert done.returncode == 1
    assert "no connection to the upstream could be made" in complaint(done)


def test_the_one_question_waits_for_servers_that_start(tmp_path: Path) -> None:
    config = f"""
[providers.s]
kind = "scripted"
script = {{ replies = [{{ steps = [{{ do = "tool", name = "count", arguments = {{}} }}] }}] }}
[models.m]
provider = "s"
[mcp.servers.raw]
command = '{sys.executable}'
args = ["-I", "-S", '{RAW}', "honest"]
approve = "never"
"""
    done = callboard(tmp_path, "ask", "--json", "hi", config=config)
    (run,) = json.loads(done.stdout)["reply"]["tool_runs"]
    assert [each["text"] for each in run["result"]["content"]] == ["1"]
