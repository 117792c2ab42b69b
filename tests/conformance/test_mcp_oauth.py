"""MCP's own conformance suite for clients, unmodified: every scenario of OAuth that it requires, by its name.

A process of the suite runs all of one of its parts at once, with clients that are sessions of this process.
Its part ``draft`` has others besides, which `tests.conformance.test_mcp_client` runs.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from anyio import run_process

from tests.clients.mcp_packages import node_packages
from tests.conformance.mcp_oauth_client import Errands
from tests.conformance.test_mcp_client import ROOT, required, suite

pytestmark = pytest.mark.anyio

ERRAND = Path(__file__).with_name("mcp_errand.py")
OAUTH = "auth/"
Outcome: TypeAlias = tuple[list[Mapping[str, str]], str]
"""A scenario's checks, and what our client said."""

REFUSED: Mapping[str, str] = {
    "scope-retry-limit": "it refuses the token that was given for just what it wants",
    "resource-mismatch": "Protected resource https://evil.example.com/mcp does not match",
    "iss-supported-missing": "missing iss parameter",
    "iss-wrong-issuer": "iss mismatch: https://evil.example.com",
    "iss-unexpected": "iss mismatch: https://evil.example.com",
    "iss-normalized": "iss mismatch: http://localhost",
    "metadata-issuer-mismatch": "metadata issuer mismatch: https://attacker.example.com",
}
"""Scenarios that want the client to give up, and what ours says then."""


@pytest.fixture
def anyio_backend() -> object:
    """One is enough: the flow is the SDK's, and tests of ours run it on all."""
    return "asyncio"


async def run_suite(folder: Path, *words: str) -> Mapping[str, Outcome]:
    """Run several scenarios; what came of each by its name."""
    node = node_packages() / "node_modules" / ".bin" / "node"
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    command = shlex.join([sys.executable, "-I", "-S", str(ERRAND), str(port)])
    program = [str(node), str(suite() / "dist" / "index.js"), "client", "--command", command]
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, Errands(folder / "logins").serve)
        with anyio.fail_after(90):
            out = str(folder / "out")
            await run_process([*program, *words, "--output-dir", out], cwd=ROOT, check=False)
        tasks.cancel_scope.cancel()
    return {
        each.parent.relative_to(folder / "out").as_posix()[: -len("-2026-01-01T00-00-00-000Z")]: (
            json.loads(each.read_text()),
            each.with_name("stdout.txt").read_text() + each.with_name("stderr.txt").read_text(),
        )
        for each in (folder / "out").rglob("checks.json")
    }


def verdict(name: str, checks: list[Mapping[str, str]], said: str) -> str:
    """What is wrong with one scenario's outcome; empty where nothing is."""
    wrong = [each for each in checks if each["status"] in {"FAILURE", "WARNING"}]
    if wrong or not any(each["status"] == "SUCCESS" for each in checks):
        return f"{json.dumps(wrong, indent=1)}\n{said}"
    expected = REFUSED.get(name.removeprefix(OAUTH))
    if expected is None:
        return said if "SourceUnavailable" in said or "is_error=False" not in said else ""
    return "" if expected in said else said


@pytest.mark.parametrize("revision, parts", [("2025-11-25", ("auth",)), ("2026-07-28", ("auth", "draft"))])
async def test_every_scenario_of_oauth_passes(revision: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    outcomes: dict[str, Outcome] = {}
    for part in parts:
        words = ("--suite", part, "--spec-version", revision, "--timeout", "60000")
        outcomes |= await run_suite(tmp_path / part, *words)
    outcomes = {name: outcome for name, outcome in outcomes.items() if name.startswith(OAUTH)}
    assert set(outcomes) == {each for each in required(revision) if each.startswith(OAUTH)}
    wrong = {name: verdict(name, *outcome) for name, outcome in outcomes.items()}
    assert not any(wrong.values()), "\n\n".join(f"{name}: {text}" for name, text in wrong.items() if text)


async def test_so_does_the_extension_for_clients_that_need_nobody(tmp_path: Path) -> None:
    outcomes = await run_suite(tmp_path, "--scenario", "auth/client-credentials-basic")
    ((name, outcome),) = outcomes.items()
    assert verdict(name, *outcome) == ""
