"""The sampling policy of an MCP server, and the ranks and directives that choose models."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.config import load
from callboard.config.problems import Source
from callboard.config.sampling import check_sampling
from callboard.config.tables import build, check_table
from callboard.domain.sampling import SamplingPolicy
from tests.config.files import lines_of

PATH = ("mcp", "servers", "files", "sampling")
SOURCE = Source(label="callboard.toml")


def found(raw: dict[str, object]) -> list[str]:
    wrong = list(check_table(SamplingPolicy, raw, SOURCE, PATH))
    if not wrong:
        wrong = list(check_sampling(build(SamplingPolicy, raw), {"gpt-4o", "o3-mini"}, SOURCE, PATH))
    return [each.message for each in wrong]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"enabled": True, "models": ["gpt-4o", "o3-*"], "max_tokens": 100, "tools": True},
        {"enabled": True, "models": ["*"], "max_requests": 1, "extra_args": ["seed"]},
    ],
)
def test_a_policy_that_fits(raw: dict[str, object]) -> None:
    assert found(raw) == []


@pytest.mark.parametrize(
    "raw, words",
    [
        ({"enabled": True}, "missing; name the models"),
        ({"enabled": True, "models": ["gpt-4"]}, 'no model "gpt-4"; did you mean "gpt-4o"?'),
        ({"models": ["claude-*"]}, 'no model "claude-*"'),
        ({"max_tokens": 0}, ">= 1"),
        ({"extra_args": ["model"]}, "model"),
        ({"depth": 2}, "unknown key"),
    ],
)
def test_a_policy_that_does_not(raw: dict[str, object], words: str) -> None:
    (message,) = found(raw)
    assert words in message


RANKED = """
[providers.p]
kind = "scripted"
[models.a]
provider = "p"
intelligence = 1
speed = 0.25
cost = 0
audio = true
[assistants.any]
model = "auto"
[assistants.strict]
directives = false
"""


def test_ranks_directives_and_auto_are_read(tmp_path: Path) -> None:
    (tmp_path / "callboard.toml").write_text(RANKED)
    config = load(None, environ={}, cwd=tmp_path)
    (model,) = config.models
    assert (model.intelligence, model.speed, model.cost) == (1.0, 0.25, 0.0)
    assert model.traits.audio
    assert [(each.model, each.directives) for each in config.assistants] == [("auto", True), ("a", False)]


@pytest.mark.parametrize("rank", ["intelligence = 1.5", "speed = -1", 'cost = "low"'])
def test_a_rank_is_between_0_and_1(tmp_path: Path, rank: str) -> None:
    (line,) = lines_of(tmp_path, f'[providers.p]\nkind = "scripted"\n[models.a]\nprovider = "p"\n{rank}\n')
    assert line.startswith("callboard.toml:5: [models.a]")


def test_auto_needs_models(tmp_path: Path) -> None:
    text = '[providers.p]\nkind = "scripted"\n[assistants.x]\nmodel = "auto"\n'
    (line,) = lines_of(tmp_path, text)
    assert 'no model "auto"' in line
