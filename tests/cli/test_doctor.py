"""``callboard doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.cli.command import SCRIPTED, UNREACHABLE, callboard
from tests.fakes.mcp_servers import RAW


def test_a_good_configuration_is_good_throughout(tmp_path: Path) -> None:
    done = callboard(tmp_path, "doctor", config=SCRIPTED)
    assert done.returncode == 0
    file, store, model = done.stdout.splitlines()
    assert file.startswith("ok   configuration ")
    assert file.endswith("callboard.toml")
    assert store.startswith("ok   store sqlite:///.callboard/state.db (SQLite 3.")
    assert store.endswith(" 0 responses, 0 conversations, 0 bytes)")
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
    file, _, model = json.loads(done.stdout)
    assert file["good"]
    assert model["subject"] == "model far (provider far)"
    assert not model["good"]
    assert "no connection" in model["advice"]


def test_a_store_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_text("junk" * 1000)
    config = SCRIPTED + '[store]\nurl = "sqlite:///junk.db"\n'
    for command, status in (("doctor",), 1), (("ask", "hi"), 1), (("serve", "--port", "0"), 1):
        done = callboard(tmp_path, *command, config=config)
        assert done.returncode == status
        said = [line for line in (done.stdout + done.stderr).splitlines() if "is no database" in line]
        assert len(said) == 1
        assert "Traceback" not in done.stderr


def test_every_mcp_server_is_listed_with_its_state(tmp_path: Path) -> None:
    servers = f"""
[mcp.servers.good]
command = '{sys.executable}'
args = ["-I", "-S", '{RAW}', "honest"]
[mcp.servers.free]
command = '{sys.executable}'
args = ["-I", "-S", '{RAW}', "honest"]
approve = "never"
[mcp.servers.bad]
command = "no-such-command-here"
"""
    done = callboard(tmp_path, "doctor", config=SCRIPTED + servers)
    assert done.returncode == 1
    good, free, bad = done.stdout.splitlines()[-3:]
    assert good == "ok   MCP server good (11 tools, 11 of them wait for approval, protocol 2025-06-18)"
    assert free == "ok   MCP server free (11 tools, 0 of them wait for approval, protocol 2025-06-18)"
    assert bad == "FAIL MCP server bad: its command is not to be found, or not executable"
