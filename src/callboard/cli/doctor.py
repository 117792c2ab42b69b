"""``callboard doctor``."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from callboard.cli.options import add_config, quiet
from callboard.config import Config, load, problems
from callboard.errors import CallboardError, StoreUnavailable
from callboard.runtime import Runtime, open_runtime

PROBE_SECONDS = 30


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        advice: What to do about it, where something is wrong.
    """

    subject: str
    good: bool
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[--json]``."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check configuration, store and providers, and say what to fix."""
    found = problems(arguments.config, environ=os.environ, cwd=Path.cwd())
    if found:
        findings = [Finding(subject="configuration", good=False, advice=str(each)) for each in found]
        _print(findings, as_json=arguments.json)
        return 2
    config = load(arguments.config, environ=os.environ, cwd=Path.cwd())
    findings = [Finding(subject=_origin(config), good=True)]
    findings += [Finding(subject="notice", good=True, advice=notice) for notice in config.notices]
    findings += anyio.run(_look, quiet(config))
    _print(findings, as_json=arguments.json)
    return 0 if all(finding.good for finding in findings) else 1


async def _look(config: Config) -> list[Finding]:
    """Open everything; without its store nothing runs, so then that is all there is to say."""
    try:
        async with open_runtime(config) as runtime:
            return [
                await _read_store(runtime),
                *await _look_at_tools(runtime),
                *await _ask_each(runtime),
                *await _await_servers(runtime),
            ]
    except StoreUnavailable as error:
        return [Finding(subject=f"store {config.store.url}", good=False, advice=str(error))]


async def _read_store(runtime: Runtime) -> Finding:
    """Read all of the store: nothing less shows that it is whole."""
    report = await runtime.wiring.store.check()
    subject = (
        f"store {runtime.config.store.url} ({report.engine}, {report.responses} responses, "
        f"{report.conversations} conversations, {report.bytes} bytes)"
    )
    return Finding(subject=subject, good=not report.problems, advice="; ".join(report.problems))


async def _look_at_tools(runtime: Runtime) -> list[Finding]:
    """What the external tools said of themselves when the runtime started."""
    return [
        Finding(
            subject=f"tool {each.name} ({each.source} {each.command})",
            good=each.state == "available",
            advice=each.why,
        )
        for each in await runtime.tools()
        if each.state != "disabled"
    ]


async def _ask_each(runtime: Runtime) -> list[Finding]:
    """Ask every configured model for a word: nothing less shows that key, address and name are right."""
    findings = []
    for model in runtime.config.models:
        subject = f"model {model.name} (provider {model.provider})"
        try:
            with anyio.fail_after(PROBE_SECONDS):
                await runtime.generate(model.name, "Say yes.", max_output_tokens=16)
        except CallboardError as error:
            findings.append(Finding(subject=subject, good=False, advice=str(error)))
        except TimeoutError:
            advice = f"no answer within {PROBE_SECONDS} s"
            findings.append(Finding(subject=subject, good=False, advice=advice))
        else:
            findings.append(Finding(subject=subject, good=True))
    return findings


async def _await_servers(runtime: Runtime) -> list[Finding]:
    """Give every MCP server the time to come up, or to fail."""
    waiting = Counter(each.server for each in await runtime.server_tools(PROBE_SECONDS) if each.waits)
    findings = []
    for each in await runtime.tool_servers():
        up = each.state == "up"
        waits = f"{waiting[each.server]} of them wait for approval"
        detail = f" ({each.tools} tools, {waits}, protocol {each.protocol})" if up else ""
        advice = "" if up else each.reason or f"did not start within {PROBE_SECONDS} s"
        findings.append(Finding(subject=f"MCP server {each.server}{detail}", good=up, advice=advice))
    return findings


def _origin(config: Config) -> str:
    return f"configuration {config.path}" if config.path else "configuration: built-in defaults"


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(findings).decode() + "\n")
        return
    for finding in findings:
        mark = "ok  " if finding.good else "FAIL"
        detail = f": {finding.advice}" if finding.advice else ""
        print(f"{mark} {finding.subject}{detail}")
