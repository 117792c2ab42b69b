"""From a file, a mapping or nothing at all to a `Config`.

The steps, in order: refuse sections that do not exist, or not yet; expand ``${NAME}``; fill in what was left
to us; let environment variables override; check every table against its struct; check that the parts fit
together. Every step goes on as far as it can, so that `problems` tells all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from callboard.config import checks
from callboard.config.environment import LEVELS, Tree, overlay
from callboard.config.expansion import expand_tree
from callboard.config.file import find, parse
from callboard.config.mcp_servers import McpServerConfig, check_server, read_servers_file
from callboard.config.models import check_prices, model_spec
from callboard.config.problems import (
    MCP_SERVERS,
    NAMED_SECTIONS,
    KeyPath,
    Problem,
    Source,
    choice,
    suggestion,
)
from callboard.config.remote_servers import check_remote
from callboard.config.sampling import check_sampling
from callboard.config.schema import (
    AssistantConfig,
    Config,
    LimitsConfig,
    LocalProvider,
    LogConfig,
    McpConfig,
    ModelTable,
    OpenAIProvider,
    ProviderConfig,
    ProxyConfig,
    ScriptedProvider,
    ServerConfig,
    StoreConfig,
)
from callboard.config.tables import build, check_table
from callboard.config.tools import ToolTable, tool_process
from callboard.domain.model import ModelSpec
from callboard.domain.tool_process import ToolProcess
from callboard.errors import ConfigurationError

S = TypeVar("S", bound=Struct)

SECTIONS = ("server", "store", "limits", "log", "mcp", "proxy", *NAMED_SECTIONS)
KINDS: Mapping[str, type[ProviderConfig]] = {
    each.kind: each for each in (OpenAIProvider, LocalProvider, ScriptedProvider)
}
LATER_KINDS = ("anthropic", "bedrock", "vertex", "relay")

ConfigSource: TypeAlias = str | PathLike[str] | Mapping[str, object] | Config | None
"""A path, the parsed content of a file, a finished configuration, or None to look for ``callboard.toml``."""


def load(source: ConfigSource, *, environ: Mapping[str, str], cwd: Path) -> Config:
    """Read a configuration. A `Config` is given back as it is; the environment has no say in it.

    Args:
        source: Where from. With None, ``callboard.toml`` is looked for in ``cwd`` and then in the folders
            above it; without one the built-in defaults hold.
        environ: The environment, for ``${NAME}`` and for the variables of `callboard.config.environment`.
        cwd: What relative paths start from; absolute.

    Raises:
        ConfigurationError: The first problem, as one line.
    """
    config, found = _read(source, environ, cwd)
    if config is None:
        raise ConfigurationError(str(found[0]))
    return config


def problems(source: ConfigSource, *, environ: Mapping[str, str], cwd: Path) -> tuple[Problem, ...]:
    """Everything that is wrong with a configuration, by line; empty exactly where `load` succeeds."""
    return _read(source, environ, cwd)[1]


def _read(
    source: ConfigSource, environ: Mapping[str, str], cwd: Path
) -> tuple[Config | None, tuple[Problem, ...]]:
    if isinstance(source, Config):
        return source, ()
    if isinstance(source, Mapping):
        return _Reading(source, Source(label="configuration"), environ).config(None, cwd)
    path = find(cwd) if source is None else cwd / source
    if path is None:
        return _Reading({}, Source(label="configuration"), environ).config(None, cwd)
    label = str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
    try:
        tree, origin = parse(path, label)
    except ConfigurationError as error:
        return None, (Problem(origin="", message=str(error)),)
    return _Reading(tree, origin, environ).config(path, cwd)


class _Reading:
    """One configuration on its way: the tree as it is so far, and the problems found in it."""

    def __init__(self, raw: Mapping[str, object], source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._found: list[Problem] = list(_foreign_sections(raw, source))
        known = {key: value for key, value in raw.items() if key in SECTIONS}
        self._tree: Tree = {}
        for key, value in known.items():
            self._tree[key], wrong = expand_tree(value, environ, source, (key,))
            self._found += wrong
        _fill_in(self._tree)
        variables, wrong = overlay(self._tree, environ)
        self._source = replace(source, variables=variables)
        self._found += wrong

    def config(self, path: Path | None, cwd: Path) -> tuple[Config | None, tuple[Problem, ...]]:
        """The configuration, or None and why not."""
        server, store = self._section("server", ServerConfig), self._section("store", StoreConfig)
        limits, log = self._section("limits", LimitsConfig), self._section("log", LogConfig)
        proxy, servers = self._section("proxy", ProxyConfig), dict(self._mcp_servers())
        mcp = self._section("mcp", McpConfig)
        providers = dict(self._providers())
        models = dict(self._models())
        assistants = dict(self._assistants(next(iter(self._names("models")), "")))
        tools = dict(self._tools(cwd if path is None else path.parent))
        known = {name: frozenset(self._names(name)) for name in NAMED_SECTIONS}
        any_model = any(each.any_model for each in providers.values())
        self._found += (
            *checks.check_server(server, self._source),
            *checks.check_backend(store, "store", self._source),
            *checks.check_backend(limits, "limits", self._source),
            *checks.check_limits(limits, self._source),
            *checks.check_providers(providers, self._source),
            *checks.check_proxy(proxy, providers, known["providers"], self._source),
            *check_remote(mcp.remote, self._source),
            *checks.check_models(models, known, self._source),
            *checks.check_assistants(assistants, known, self._source, any_model=any_model),
        )
        if self._found:
            # What an environment variable got wrong has no line, and comes first.
            return None, tuple(sorted(self._told_once(), key=lambda each: each.line or 0))
        by_variable = ("mcp", "servers_config_path") in self._source.variables
        folder = cwd if path is None or by_variable else path.parent
        mcp, notices = _with_servers(mcp, servers, self._environ, folder)
        config = Config(
            server=server,
            store=store,
            limits=limits,
            log=log,
            providers=tuple(providers.values()),
            models=tuple(models.values()),
            assistants=tuple(assistants.values()),
            tools=tuple(tools.values()),
            mcp=mcp,
            proxy=proxy,
            path=path,
            notices=notices,
        )
        return config, ()

    def _told_once(self) -> Iterator[Problem]:
        """The problems; a variable that is wrong in each place it is used in is one of them."""
        told: set[tuple[str, str]] = set()
        variables = set(self._source.variables.values())
        for problem in self._found:
            once = (problem.origin, problem.message)
            if problem.origin not in variables or once not in told:
                yield problem
            told.add(once)

    def _section(self, name: str, shape: type[S]) -> S:
        return self._table((name,), self._tree.get(name, {}), shape) or build(shape, {})

    def _table(self, path: KeyPath, raw: object, shape: type[S], **fixed: str) -> S | None:
        """The struct for a table; None where it has problems, which are noted."""
        wrong = list(check_table(shape, raw, self._source, path))
        self._found += wrong
        return build(shape, {**raw, **fixed}) if isinstance(raw, Mapping) and not wrong else None

    def _names(self, section: str) -> tuple[str, ...]:
        tables = self._tree.get(section, {})
        return tuple(tables) if isinstance(tables, dict) else ()

    def _named(self, section: str) -> Iterator[tuple[str, KeyPath, object]]:
        """The tables of a section that holds one for each NAME."""
        tables = self._tree.get(section, {})
        if not isinstance(tables, dict):
            self._found.append(self._source.problem((section,), "expected a table for each name"))
            return
        for name, table in tables.items():
            path = (section, name)
            if name and name.isprintable():
                yield name, path, table
            else:
                self._found.append(self._source.problem(path, "a name needs printable characters"))

    def _mcp_servers(self) -> Iterator[tuple[str, McpServerConfig]]:
        """The servers of ``[mcp.servers]``, which are taken out of the tree."""
        section = self._tree.get("mcp")
        tables = section.pop("servers", {}) if isinstance(section, dict) else {}
        if not isinstance(tables, dict):
            self._found.append(self._source.problem(MCP_SERVERS, "expected a table for each name"))
            return
        for name, raw in tables.items():
            path = (*MCP_SERVERS, str(name))
            server = self._table(path, raw, McpServerConfig, name=str(name))
            if server is not None:
                self._found += check_server(server, self._source, path)
                models, place = self._names("models"), (*path, "sampling")
                self._found += check_sampling(server.sampling, models, self._source, place)
                yield server.name, server

    def _providers(self) -> Iterator[tuple[str, ProviderConfig]]:
        for name, path, raw in self._named("providers"):
            kind = raw.get("kind") if isinstance(raw, Mapping) else None
            shape = KINDS.get(kind) if isinstance(kind, str) else None
            if shape is None:
                self._found.append(self._source.problem((*path, "kind"), _kind_fault(kind)))
                continue
            provider = self._table(path, raw, shape, name=name)
            if provider is not None:
                yield name, provider

    def _models(self) -> Iterator[tuple[str, ModelSpec]]:
        for name, path, raw in self._named("models"):
            table = self._table(path, raw, ModelTable)
            if table is None:
                continue
            wrong = list(check_prices(table, self._source, path))
            self._found += wrong
            if not wrong:
                yield name, model_spec(name, table)

    def _assistants(self, first_model: str) -> Iterator[tuple[str, AssistantConfig]]:
        for name, path, raw in self._named("assistants"):
            assistant = self._table(path, raw, AssistantConfig, name=name)
            if assistant is not None:
                yield name, assistant if assistant.model else replace(assistant, model=first_model)

    def _tools(self, folder: Path) -> Iterator[tuple[str, ToolProcess]]:
        for name, path, raw in self._named("tools"):
            table = self._table(path, raw, ToolTable)
            if table is None:
                continue
            tool, wrong = tool_process(name, table, folder, self._source)
            self._found += wrong
            if tool is not None:
                yield name, tool


def _foreign_sections(raw: Mapping[str, object], source: Source) -> Iterator[Problem]:
    """Keys that are no section."""
    for key in raw:
        if key not in SECTIONS:
            yield source.problem((key,), f"unknown section{suggestion(key, SECTIONS)}")


def _kind_fault(kind: object) -> str:
    if kind is None:
        return f"missing; expected {choice(KINDS)}"
    if not isinstance(kind, str):
        return f"expected {choice(KINDS)}"
    if kind in LATER_KINDS:
        return f'"{kind}" comes in a later release; this one has {choice(KINDS)}'
    return f'no kind "{kind}"{suggestion(kind, KINDS)}'


def _fill_in(tree: Tree) -> None:
    """Complete ``tree``, which is changed, with the model that needs no key, and unify spellings."""
    own_providers = tree.setdefault("providers", {"local": {"kind": "local"}})
    if own_providers == {"local": {"kind": "local"}}:
        smollm2 = {"provider": "local", "upstream_name": "SmolLM2-135M-Instruct", "context_window": 8192}
        tree.setdefault("models", {"smollm2": {**smollm2, "tools": False, "images": False}})
    if tree.get("models") and isinstance(tree["models"], dict):
        tree.setdefault("assistants", {"default": {}})
    log = tree.get("log")
    if isinstance(log, dict) and isinstance(log.get("level"), str):
        log["level"] = LEVELS.get(log["level"].lower(), log["level"])
    for provider in own_providers.values() if isinstance(own_providers, dict) else ():
        if isinstance(provider, dict) and isinstance(provider.get("base_url"), str):
            provider["base_url"] = provider["base_url"].rstrip("/")


def _with_servers(
    mcp: McpConfig, own: Mapping[str, McpServerConfig], environ: Mapping[str, str], folder: Path
) -> tuple[McpConfig, tuple[str, ...]]:
    """The servers of both files that are enabled, and what is to be said of the second one."""
    servers = tuple(own.values())
    notices: tuple[str, ...] = ()
    if mcp.servers_config_path is not None:
        label = mcp.servers_config_path
        if (folder / label).is_file():
            found, notices = read_servers_file(folder / label, label, environ, frozenset(own))
            servers += found
        else:
            notices = (f'MCP_SERVERS_CONFIG_PATH: the file "{label}" does not exist',)
    return replace(mcp, servers=tuple(each for each in servers if each.enabled)), notices
