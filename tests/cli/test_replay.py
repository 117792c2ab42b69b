"""``callboard replay``."""

from __future__ import annotations

from pathlib import Path

import anyio

from callboard.providers.script import Text, Tool
from tests.actors.test_background import ID, begin, ended, on_disk
from tests.cli.command import callboard, complaint
from tests.fakes.company import Stage, company, replies
from tests.fakes.tools import counted

CONFIG = """
[providers.demo]
kind = "scripted"
[models.demo-model]
provider = "demo"
[store]
url = "sqlite:///state.db"
"""


async def stored_in(folder: Path) -> None:
    """Leave a response there."""
    script = replies([Text(text="Well. "), Tool(name="count")], [Text(text="It is \u2028 done.")])
    async with company(
        Stage(demo=script), tools=[counted(idempotent=True).tool], config=on_disk(folder)
    ) as runtime:
        await begin(runtime)
        await ended(runtime)


def test_a_response_is_exported_and_is_the_same_when_it_is_run_again(tmp_path: Path) -> None:
    anyio.run(stored_in, tmp_path)
    exported = callboard(tmp_path, "replay", "--export", ID, "--out", "it.jsonl", config=CONFIG)
    assert (exported.returncode, exported.stdout, exported.stderr) == (0, "", "")
    shown = callboard(tmp_path, "replay", "--export", ID)
    assert shown.stdout == (tmp_path / "it.jsonl").read_text()
    again = callboard(tmp_path, "replay", "it.jsonl")
    assert again.stderr == ""
    assert again.stdout.startswith("identical, ")
    assert again.stdout.endswith(" events\n")
    assert again.returncode == 0
    wrong = (
        (tmp_path / "it.jsonl").read_text().replace('"stop_reason":"tool_use"', '"stop_reason":"max_tokens"')
    )
    (tmp_path / "wrong.jsonl").write_text(wrong)
    other = callboard(tmp_path, "replay", "wrong.jsonl")
    assert other.returncode == 1
    number, recorded, replayed = other.stdout.split("\n", 2)
    assert number.startswith("event ")
    assert recorded.startswith("recorded: event: response.")
    assert "replayed: " in replayed


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path) -> None:
    assert "name a FILE" in complaint(callboard(tmp_path, "replay", config=CONFIG))
    assert "nowhere.jsonl: No such file" in complaint(callboard(tmp_path, "replay", "nowhere.jsonl"))
    missing = callboard(tmp_path, "replay", "--export", "resp_none")
    assert missing.returncode == 1
    assert "resp_none" in complaint(missing)
