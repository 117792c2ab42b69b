"""``callboard chat``."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.cli.command import COMMAND, SCRIPTED, callboard, environment
from tests.fakes.upstream import serve_upstream

CONFIG = """
[providers.fake]
kind = "openai"
base_url = "{url}"
api_key = "unused"
[models.m]
provider = "fake"
[assistants.default]
model = "m"
"""


@pytest.mark.anyio
async def test_the_second_message_is_sent_with_the_first_and_its_answer(tmp_path: Path) -> None:
    async with serve_upstream() as upstream:
        (tmp_path / "callboard.toml").write_text(CONFIG.format(url=upstream.base_url))
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [*COMMAND, "chat"], input=b"I am Ada.\nWho am I?\n", cwd=tmp_path, env=environment()
            )
        document = upstream.exchanges[1].json()
    assert done.stdout.decode() == "echo: I am Ada.\necho: Who am I?\n"
    assert done.stderr == b""
    messages = document["messages"]
    assert isinstance(messages, list)
    assert [(message["role"], message["content"]) for message in messages][-3:] == [
        ("user", "I am Ada."),
        ("assistant", "echo: I am Ada."),
        ("user", "Who am I?"),
    ]


def test_an_empty_line_ends_it(tmp_path: Path) -> None:
    done = callboard(tmp_path, "chat", config=SCRIPTED, stdin=b"one\n\ntwo\n")
    assert (done.returncode, done.stdout) == (0, "echo: one\n")


def test_a_refused_message_does_not_end_it(tmp_path: Path) -> None:
    script = """
[[providers.demo.script.replies]]
steps = [{ do = "fail", error = "upstream_invalid_request", message = "not like that" }]
"""
    done = callboard(tmp_path, "chat", config=SCRIPTED + script, stdin=b"one\ntwo\n")
    assert done.returncode == 0
    assert done.stdout == "echo: two\n"
    assert done.stderr == "callboard: not like that\n"
