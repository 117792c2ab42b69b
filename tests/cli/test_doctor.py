"""``callboard doctor``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import SCRIPTED, UNREACHABLE, callboard


def test_a_good_configuration_is_good_throughout(tmp_path: Path) -> None:
    done = callboard(tmp_path, "doctor", config=SCRIPTED)
    assert done.returncode == 0
    file, model = done.stdout.splitlines()
    assert file.startswith("ok   configuration ")
    assert file.endswith("callboard.toml")
    assert model == "ok   model echo (provider demo)"


def test_every_problem_of_a_broken_configuration_is_listed(tmp_path: Path) -> None:
    done = callboard(tmp_path, "doctor", config="[server]\nprot = 1\n[log]\nlevel = 'loud'\n")
    assert done.returncode == 2
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first.startswith("FAIL configuration: callboard.toml:2: [server] prot: unknown key")
    assert second.startswith("FAIL configuration: callboard.toml:4: [log] level: ")


def test_a_provider_out_of_reach_fails_its_model_only(tmp_path: Path) -> None:
    done = callboard(tmp_path, "doctor", "--json", config=UNREACHABLE)
    assert done.returncode == 1
    assert done.stderr == ""
    file, model = json.loads(done.stdout)
    assert file["good"]
    assert model["subject"] == "model far (provider far)"
    assert not model["good"]
    assert "no connection" in model["advice"]
