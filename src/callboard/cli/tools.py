"""``callboard tools``: what tools there are, whether they work, a call of one by hand, logins to servers."""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec
from msgspec import Raw
from msgspec.structs import replace

from callboard.cli.login import login, logout
from callboard.cli.options import add_config, quiet, read_config
from callboard.cli.terminal import printable
from callboard.config import Config, StoreConfig, logins_folder
from callboard.domain.arguments import is_object
from callboard.domain.codec import encode_block
from callboard.domain.message import text_of
from callboard.domain.tools import ToolReport
from callboard.errors import ConfigurationError
from callboard.runtime import open_runtime

SERVERS_SECONDS = 10
"""So long MCP servers have to start."""

WAITS = "waits for approval"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``list | check | call NAME [JSON]``, each with ``[--json]``; ``login | logout NAME``."""
    metavar = "list | check | call | login | logout"
    actions = parser.add_subparsers(dest="action", required=True, metavar=metavar)
    listed = actions.add_parser("list", help="list the tools and where they come from", allow_abbrev=False)
    checked = actions.add_parser(
        "check", help="check that each is well; exit status 1 where one is not", allow_abbrev=False
    )
    call = actions.add_parser("call", help="run one and print what it answers", allow_abbrev=False)
    call.add_argument("name", metavar="NAME", help="as `list` shows it")
    call.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="its arguments; - reads standard input"
    )
    for each in (listed, checked, call):
        each.add_argument("--json", action="store_true", help="print JSON")
    entered = actions.add_parser("login", help="consent that an MCP server is used", allow_abbrev=False)
    entered.add_argument("--scope", metavar="NAMES", help="what to ask for (default: what the server wants)")
    left = actions.add_parser("logout", help="forget a login to an MCP server", allow_abbrev=False)
    for each in (entered, left):
        each.add_argument("name", metavar="NAME", help="of [mcp.servers.NAME]")
    for each in (listed, checked, call, entered, left):
        add_config(each)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked for with tools, or with the servers that they are from."""
    if arguments.action == "login":
        return anyio.run(login, read_config(arguments), arguments.name, arguments.scope)
    if arguments.action == "logout":
        return logout(read_config(arguments), arguments.name)
    config = _tools_only(quiet(read_config(arguments)))
    action = {"list": _list, "check": _check, "call": _call}[arguments.action]
    return anyio.run(action, config, arguments)


def _tools_only(config: Config) -> Config:
    """``config`` without what tools do not need: no store is opened, no model loaded."""
    mcp = replace(config.mcp, logins_path=str(logins_folder(config)))
    return replace(config, store=StoreConfig(url="memory:"), mcp=mcp, providers=(), models=(), assistants=())


async def _list(config: Config, arguments: argparse.Namespace) -> int:
    reports = await _reports(config)
    if arguments.json:
        _print_json(reports)
        return 0
    width = max((len(each.name) for each in reports), default=0)
    for each in reports:
        print(printable(f"{each.name:<{width}}  {each.source:<8}  {_said(each)}").rstrip())
    return 0


async def _check(config: Config, arguments: argparse.Namespace) -> int:
    reports = await _reports(config)
    if arguments.json:
        _print_json(reports)
    for each in () if arguments.json else reports:
        mark = {"available": "ok  ", "unavailable": "FAIL", "disabled": "off "}[each.state]
        print(printable(f"{mark} {each.name} ({each.source} {each.command})").replace(" )", ")"), end="")
        remark = each.why or (WAITS if each.waits else "")
        print(f": {printable(remark)}" if remark else "")
    return 1 if any(each.state == "unavailable" for each in reports) else 0


async def _call(config: Config, arguments: argparse.Namespace) -> int:
    text = sys.stdin.read() if arguments.arguments == "-" else arguments.arguments
    written = text.encode("utf-8", "replace")
    if written.strip() and not is_object(written):
        raise ConfigurationError("the arguments are not a JSON object")
    async with open_runtime(config) as runtime:
        await runtime.settled_servers(SERVERS_SECONDS)
        outcome = await runtime.call_tool(arguments.name, text)
    if arguments.json:
        content = [Raw(encode_block(each)) for each in outcome.content]
        _print_json({"is_error": outcome.is_error, "content": content})
    else:
        stream = sys.stderr if outcome.is_error else sys.stdout
        stream.write(printable(text_of(outcome.content)).rstrip("\n") + "\n")
    return 1 if outcome.is_error else 0


async def _reports(config: Config) -> tuple[ToolReport, ...]:
    async with open_runtime(config) as runtime:
        return (*await runtime.tools(), *await runtime.server_tools(SERVERS_SECONDS))


def _said(report: ToolReport) -> str:
    if report.state != "available":
        return f"{report.state}: {report.reason}" if report.reason else report.state
    first = report.description.partition("\n")[0]
    return f"({WAITS}) {first}" if report.waits else first


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
