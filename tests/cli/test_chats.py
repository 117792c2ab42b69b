"""`callboard chats`: what users had in files comes into the store and out again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chats.world import DATA
from tests.cli.command import SCRIPTED, callboard, complaint

GOLDEN = (DATA / "golden.json").read_bytes()


def placed(folder: Path, data: bytes = GOLDEN, name: str = "ada.json") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_file_is_imported_for_the_user_it_is_called_after_and_exported_again(tmp_path: Path) -> None:
    placed(tmp_path)
    done = callboard(tmp_path, "chats", "import", "ada.json", config=SCRIPTED)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ada: 2 new, 0 extended, 0 unchanged, 0 left out; copy of the file: ")
    done = callboard(tmp_path, "chats", "export", "out.json", "--user", "ada")
    assert (done.returncode, done.stdout) == (0, "2 conversations, 5 messages: out.json\n")
    assert json.loads((tmp_path / "out.json").read_bytes()) == json.loads(GOLDEN)
    done = callboard(tmp_path, "chats", "import", "ada.json", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["user"], len(report["unchanged"]), report["new"]) == (0, "ada", 2, [])


def test_what_is_left_out_is_told_line_by_line_and_by_the_status(tmp_path: Path) -> None:
    placed(tmp_path, b'{"bad": 7, ' + GOLDEN.strip()[1:])
    done = callboard(tmp_path, "chats", "import", "ada.json", config=SCRIPTED)
    assert done.returncode == 1
    assert done.stdout.startswith("ada: 2 new, 0 extended, 0 unchanged, 1 left out")
    assert done.stderr.startswith("callboard: left out bad: ")
    assert done.stderr.count("\n") == 1


def test_a_broken_file_is_one_line_and_a_copy(tmp_path: Path) -> None:
    placed(tmp_path, GOLDEN[:-9])
    done = callboard(tmp_path, "chats", "import", "ada.json", config=SCRIPTED)
    assert done.returncode == 1
    assert "nothing was imported" in complaint(done)
    assert [each.read_bytes() for each in tmp_path.glob("ada.json.backup.*")] == [GOLDEN[:-9]]


@pytest.mark.parametrize(
    "words, told",
    [
        (("import", "none.json"), "cannot be read"),
        (("import", "ada.txt"), "--user"),
        (("import", "ada.json", "--user", "../ada"), "cannot be a user"),
        (("export", "none/ada.json"), "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    placed(tmp_path)
    placed(tmp_path, name="ada.txt")
    done = callboard(tmp_path, "chats", *words, config=SCRIPTED)
    assert done.returncode == 2
    assert told in complaint(done)


def test_a_store_that_is_forgotten_takes_no_files(tmp_path: Path) -> None:
    placed(tmp_path)
    done = callboard(tmp_path, "chats", "import", "ada.json", config=SCRIPTED + '[store]\nurl = "memory:"\n')
    assert done.returncode == 2
    assert "[store] url" in complaint(done)


def test_it_is_listed_and_needs_to_know_what_to_do(tmp_path: Path) -> None:
    assert "chats      bring the files of single users" in callboard(tmp_path, "--help").stdout
    assert callboard(tmp_path, "chats").returncode == 2
