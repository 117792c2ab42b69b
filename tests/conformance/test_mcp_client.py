"""MCP's own conformance suite for clients, unmodified, each required scenario by its name.

Those of OAuth are run in `tests.conformance.test_mcp_oauth`, all at once.
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


def required(revision: str) -> tuple[str, ...]:
    """What the suite requires of clients, in its own words."""
    text = (suite() / "requirements" / f"{revision}.yaml").read_text()
    listed = text.partition("\nclient:\n")[2].partition("\n\n")[0]
    return tuple(re.findall(r"^  - (\S+)$", listed, re.MULTILINE))


@pytest.mark.parametrize("revision, oauth", [("2025-11-25", 14), ("2026-07-28", 25)])
def test_nothing_that_is_required_is_left_out(revision: str, oauth: int) -> None:
    """The other module runs what begins with ``auth/``, and compares with this list too."""
    elsewhere = [each for each in required(revision) if each.startswith("auth/")]
    assert len(elsewhere) == oauth
    assert {*elsewhere, *REQUIRED[revision]} == set(required(revision))
