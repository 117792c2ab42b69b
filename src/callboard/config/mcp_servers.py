"""``[mcp.servers.NAME]``, and the ``mcpServers`` JSON file that other hosts of MCP servers read too.

A mistake in our own file is a problem like any other. The JSON file is somebody else's, and read as it is:
what of it cannot be used is skipped with a notice, and the rest works.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from callboard.config.expansion import expand_tree
from callboard.config.mcp_oauth import McpOAuthConfig, oauth_faults
from callboard.config.problems import KeyPath, Problem, Source, one_line
from callboard.config.tables import build, check_table
from callboard.config.urls import NO_URL, parts_of
from callboard.domain.sampling import SamplingPolicy
from callboard.secret import Secret

TRANSPORTS = ("stdio", "streamable-http", "sse")

# What stands before `__` in the name of a tool, which has 64 characters in all.
_NAME = re.compile(r"(?!.*__)[A-Za-z0-9_-]{1,32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FINGERPRINT = re.compile(r"(sha256:)?[0-9a-f]{64}")
FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some tools of a server, by its own names, with ``*`` for any ending."""

    tool_names: tuple[str, ...]


class ApproveRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``approve`` tool by tool, as ``require_approval`` of OpenAI's ``mcp`` tool.

    Attributes:
        always: Those whose calls wait; goes before ``never``.
        never: Those whose calls do not; then those that neither names wait. Where it is absent they do not.
    """

    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpServerConfig(Struct, frozen=True, kw_only=True):
    """``[mcp.servers.NAME]``: one MCP server, started by us or behind a URL.

    Attributes:
        name: NAME; letters, digits, ``-`` and single ``_``, at most 32 characters.
        command: A program; with it come ``args``, ``env`` and ``cwd``.
        env: What it gets of the environment, besides HOME, PATH and the like.
        url: With it come ``headers`` and ``allow_private``.
        transport: By default ``stdio`` with a command, and ``streamable-http`` with a URL.
        allow, deny: The server's own names of its tools, or beginnings of them with ``*`` behind; what is not
            allowed, or is denied, does not exist. All are allowed where ``allow`` is absent.
        approve: Whether calls wait for the approval of the client's user. Unless said otherwise all do, but
            for those of a ``trusted`` server's tools that it calls read-only. What waits is offered to
            clients of the Responses API only: others have no way to approve anything.
        pins: The one definition of a tool that may be used, as its SHA-256, by the tool's name. Others are
            held to the definition that was seen first.
        trusted: Whether the server's word is believed that a tool may be called twice, or only reads.
        timeout_seconds: For each call.
        refresh_seconds: How often its tools are listed again; 0 never, absent as for all
            (``MCP_TOOL_REFRESH_INTERVAL``).
        start_seconds: For connecting and the first list.
        parallel: Calls to it that run at the same time.
        parameters: Asked of the model with every call and not passed on, by name and description.
        roots: ``file://`` URIs that it is told of when it asks for roots.
        sampling: Whether and how it may ask for generations; off by default.
        allow_private: Whether the URL's host, and those of ``oauth.issuers``, may resolve to private
            addresses; None allows it where the URL itself shows that it is one.
        oauth: How tokens for it are had, where it wants them from an authorization server.
    """

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret] = {}
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, Secret] = {}
    transport: Literal["stdio", "streamable-http", "sse"] | None = None
    enabled: bool = True
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    approve: Literal["unless_read_only", "always", "never"] | ApproveRules = "unless_read_only"
    pins: Mapping[str, str] = {}
    trusted: bool = False
    timeout_seconds: Annotated[float, Meta(gt=0)] = 60.0
    refresh_seconds: Annotated[float, Meta(ge=0)] | None = None
    start_seconds: Annotated[float, Meta(gt=0)] = 30.0
    parallel: Annotated[int, Meta(ge=1)] = 8
    parameters: Mapping[str, str] = {}
    roots: tuple[str, ...] = ()
    sampling: SamplingPolicy = SamplingPolicy()
    allow_private: bool | None = None
    oauth: McpOAuthConfig | None = None


def check_server(server: McpServerConfig, source: Source, path: KeyPath) -> Iterator[Problem]:
    """What no single key of a server's table can tell."""
    if not _NAME.fullmatch(server.name):
        yield source.problem(path, "a name needs letters, digits, '-' and single '_', at most 32 of them")
    if (server.command is None) == (server.url is None):
        yield source.problem(path, "expected either command or url")
        return
    wrong = _faults(server, "command" if server.url is None else "url")
    for key, message in wrong:
        yield source.problem((*path, *key), message)


def _faults(server: McpServerConfig, way: str) -> Iterator[tuple[KeyPath, str]]:
    foreign = ("headers", "allow_private", "oauth") if way == "command" else ("args", "env", "cwd")
    for key in foreign:
        if getattr(server, key):
            yield (key,), f"has no meaning with {way}"
    stdio = server.transport == "stdio"
    if server.transport is not None and stdio != (way == "command"):
        yield ("transport",), f'"{server.transport}" does not go with {way}'
    if server.command is not None and (not server.command.strip() or "\0" in server.command):
        yield ("command",), "expected the name or the path of a program"
    if server.url is not None and (fault := url_fault(server.url)):
        yield ("url",), fault
    if server.oauth is not None and way == "url":
        if any(each.lower() == "authorization" for each in server.headers):
            yield ("oauth",), "does not go with an Authorization header"
        for place, message in oauth_faults(server.oauth):
            yield ("oauth", *place), message
    yield from _misspelt(server)


def _misspelt(server: McpServerConfig) -> Iterator[tuple[KeyPath, str]]:
    """Names and values that could not be used where they are meant for."""
    for name, value in server.headers.items():
        if not FIELD.fullmatch(name) or not SENDABLE.fullmatch(value.reveal()):
            yield ("headers", name), "empty, or with a character no header may have"
    for name, value in server.env.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value.reveal():
            yield ("env", name), "not a variable that a program can have"
    for name, pin in server.pins.items():
        if not _FINGERPRINT.fullmatch(pin):
            yield ("pins", name), "expected the SHA-256 of a definition, 64 hexadecimal digits"
    for name in server.parameters:
        if not _PARAMETER.fullmatch(name):
            yield ("parameters", name), "not a name for a parameter"
    for uri in server.roots:
        if not uri.startswith("file://"):
            yield ("roots",), "expected URIs that begin with file://"


def read_servers_file(
    path: Path, label: str, environ: Mapping[str, str], known: frozenset[str]
) -> tuple[tuple[McpServerConfig, ...], tuple[str, ...]]:
    """The servers of an ``mcpServers`` file, and a notice for each that cannot be used.

    Keys of other hosts' are passed over; ``disabled`` is understood, and so are ``alwaysAllow`` and
    ``autoApprove``. ``type`` names the transport, ``stdio`` where it is absent and there is a command. A
    server whose name ``known`` has already is skipped too.
    """
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no JSON"
        return (), (f'the file "{label}" cannot be read: {what}',)
    servers = tree.get("mcpServers") if isinstance(tree, dict) else None
    if not isinstance(servers, dict):
        return (), (f'the file "{label}" has no table mcpServers',)
    found: list[McpServerConfig] = []
    notices: list[str] = []
    for name, raw in servers.items():
        fault = "is configured already" if name in known else None
        server = None if fault else _from_json(name, raw, environ)
        if isinstance(server, McpServerConfig):
            found.append(server)
        else:
            notices.append(one_line(f'{label}: the MCP server "{name}" is skipped: {fault or server}'))
    return tuple(found), tuple(notices)


def _from_json(name: str, raw: object, environ: Mapping[str, str]) -> McpServerConfig | str:
    """A server of the JSON file, or what is wrong with it."""
    if not isinstance(raw, dict):
        return "it is no table"
    source, path = Source(label="mcpServers"), (name,)
    keys = {"command", "args", "env", "cwd", "url", "headers"}
    table: dict[str, object] = {key: value for key, value in raw.items() if key in keys and value is not None}
    kind = raw.get("type", raw.get("transport", "stdio" if "command" in table else "streamable-http"))
    kind = {"http": "streamable-http", "streamable_http": "streamable-http"}.get(str(kind), kind)
    if kind not in TRANSPORTS:
        return f"it has no transport that we know; known: {', '.join(TRANSPORTS)}"
    # A file may give both; the type says which is meant.
    unmeant = ("url", "headers") if kind == "stdio" else ("command", "args", "env", "cwd")
    table = {key: value for key, value in table.items() if key not in unmeant}
    expanded, wrong = expand_tree(table, environ, source, path)
    if wrong or not isinstance(expanded, dict):
        return wrong[0].message
    expanded |= {"transport": kind, "enabled": not raw.get("disabled", False)}
    if unasked := _unasked(raw):
        expanded["approve"] = {"never": {"tool_names": unasked}}
    problems = list(check_table(McpServerConfig, expanded, source, path))
    if not problems:
        server = build(McpServerConfig, {**expanded, "name": name})
        problems = list(check_server(server, source, path))
        if not problems:
            return server
    place = f"{problems[0].place}: ".replace(f"[{name}]", "").lstrip()
    return f"{place}{problems[0].message}".removeprefix(": ")


def _unasked(raw: Mapping[str, object]) -> list[str]:
    """The tools whose calls other hosts run unasked, which list them as ``alwaysAllow`` or ``autoApprove``.

    A ``*`` alone is all of them; at the end of a name it means nothing there, so it must not here.
    """
    lists = [listed for key in ("alwaysAllow", "autoApprove") if isinstance(listed := raw.get(key), list)]
    names = [name for listed in lists for name in listed if isinstance(name, str)]
    return [name for name in names if name == "*" or not name.endswith("*")]


def url_fault(url: str) -> str | None:
    """What is wrong with a server's URL, never repeating it: it may hold a secret."""
    parts = parts_of(url)
    if parts is None:
        return NO_URL
    if parts.scheme not in {"http", "https"}:
        return "expected a URL that begins with http:// or https://"
    if parts.fragment:
        return "expected a URL without a fragment"
    return (
        "a user name or password does not belong into the URL; use headers" if "@" in parts.netloc else None
    )
