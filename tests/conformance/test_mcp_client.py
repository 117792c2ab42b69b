"""MCP's own conformance suite for clients, unmodified, each required scenario by its name.

Not run are the scenarios of OAuth, which we do not do: docs/mcp.md, "What it does not do".
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.mcp_packages import node_packages

ROOT = Path(__file__).parents[2]
COMMAND = f"{shlex.quote(sys.executable)} -m tests.conformance.mcp_client"
NOT_DONE = "auth/"
REQUIRED = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
    ),
}
UNSCORED = ("json-schema-2020-12-preservation", "2026-07-28")
"""Not required of anybody, and passes all the same."""

CASES = [(each, revision) for revision in REQUIRED for each in REQUIRED[revision]] + [UNSCORED]


def suite() -> Path:
    return node_packages() / "node_modules" / "@modelcontextprotocol" / "conformance"


@pytest.mark.parametrize("scenario, revision", CASES)
def test_the_scenario_passes(scenario: str, revision: str, tmp_path: Path) -> None:
    node = node_packages() / "node_modules" / ".bin" / "node"
    what = ("--scenario", scenario, "--spec-version", revision, "--output-dir", str(tmp_path))
    done = subprocess.run(
        [str(node), str(suite() / "dist" / "index.js"), "client", "--command", COMMAND, *what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (folder,) = tmp_path.iterdir()
    checks = json.loads((folder / "checks.json").read_text())
    said = (folder / "stdout.txt").read_text() + (folder / "stderr.txt").read_text()
    wrong = [check for check in checks if check["status"] in {"FAILURE", "WARNING"}]
    assert not wrong, f"{json.dumps(wrong, indent=1)}\n{said}"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{said}"
    assert any(check["status"] == "SUCCESS" for check in checks)


@pytest.mark.parametrize("revision", REQUIRED)
def test_nothing_that_is_required_is_left_out_but_oauth(revision: str) -> None:
    text = (suite() / "requirements" / f"{revision}.yaml").read_text()
    listed = text.partition("\nclient:\n")[2].partition("\n\n")[0]
    required = re.findall(r"^  - (\S+)$", listed, re.MULTILINE)
    assert tuple(each for each in required if not each.startswith(NOT_DONE)) == REQUIRED[revision]
    assert len(required) > len(REQUIRED[revision])
