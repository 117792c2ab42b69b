"""The command line as a whole: help, usage errors, exit statuses, pipes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from callboard.cli.main import COMMANDS
from tests.cli.command import COMMAND, SCRIPTED, callboard, complaint, environment


def test_help_lists_every_command_with_what_it_does(tmp_path: Path) -> None:
    done = callboard(tmp_path, "--help")
    assert done.returncode == 0
    listed = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    for name, summary in COMMANDS.items():
        assert [name, summary] in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(tmp_path: Path, name: str) -> None:
    done = callboard(tmp_path, name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: callboard {name} ")


@pytest.mark.parametrize(
    "words, same",
    [
        (("--version",), ("version",)),
        (("help",), ("--help",)),
        (("help", "keys"), ("keys", "--help")),
        (("help", "start"), ("serve", "--help")),
        (("help", "help"), ("--help",)),
        (("start", "--help"), ("serve", "--help")),
    ],
)
def test_other_words_mean_the_same(tmp_path: Path, words: tuple[str, ...], same: tuple[str, ...]) -> None:
    done, expected = callboard(tmp_path, *words), callboard(tmp_path, *same)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected.stdout


def test_help_with_a_command_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = callboard(tmp_path, "help", "aks")
    assert done.returncode == 2
    assert "invalid choice: 'aks'" in done.stderr


def test_a_command_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = callboard(tmp_path, "aks")
    assert done.returncode == 2
    assert "invalid choice: 'aks'" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_command_is_a_usage_error(tmp_path: Path) -> None:
    assert callboard(tmp_path).returncode == 2


@pytest.mark.parametrize(
    "config, line",
    [
        ("[server]\nport = \n", "callboard.toml:2: "),
        ("[server]\nprot = 8080\n", 'callboard.toml:2: [server] prot: unknown key; did you mean "port"?'),
        (
            '[providers.far]\nkind = "openai"\napi_key = "${NOT_SET_ANYWHERE}"\n',
            "callboard.toml:3: [providers.far] api_key: the environment has no variable NOT_SET_ANYWHERE",
        ),
    ],
    ids=["broken TOML", "unknown key", "missing variable"],
)
def test_a_wrong_configuration_is_one_line_with_its_place(tmp_path: Path, config: str, line: str) -> None:
    done = callboard(tmp_path, "ask", "hi", config=config)
    assert done.returncode == 2
    assert line in complaint(done)


def test_a_configuration_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    done = callboard(tmp_path, "ask", "--config", "nowhere.toml", "hi")
    assert done.returncode == 2
    assert "nowhere.toml: cannot be read" in complaint(done)


@pytest.mark.parametrize("words", [("ask", "hi"), ("ask", "--json", "hi"), ("doctor",), ("version",)])
def test_a_reader_that_has_enough_gets_no_complaint(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "callboard.toml").write_text(SCRIPTED)
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 1


def test_characters_that_the_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    done = callboard(
        tmp_path, "ask", "caf\u00e9 \U0001f600", config=SCRIPTED, PYTHONIOENCODING="ascii", PYTHONUTF8="1"
    )
    assert done.returncode == 0
    assert done.stdout == "echo: caf\\xe9 \\U0001f600\n"
