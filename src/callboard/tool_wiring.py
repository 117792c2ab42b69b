"""The part of the tree that runs tools: one space for those of this process, of programs, of MCP servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from anyio import CapacityLimiter

from callboard.actors.provider_system import ProviderSystem
from callboard.actors.sampling import SamplingConfig, SamplingManager
from callboard.actors.sampling_desk import Sampling
from callboard.actors.tool_host import ToolHost
from callboard.actors.tool_runner import ToolRunner
from callboard.config import ApproveRules, Config, McpConfig, McpServerConfig
from callboard.domain.observation import Observation
from callboard.domain.tools import ApprovalPolicy
from callboard.errors import ConfigurationError
from callboard.kernel import Child
from callboard.tools.function import FunctionTool, FunctionTools
from callboard.tools.mcp import Desk, HttpServer, ServerSettings, StdioServer
from callboard.tools.process import PROBES_AT_ONCE, ProcessTools
from callboard.tools.source import ToolSource
from callboard.tools.space import SourcePolicy, ToolSpace


def own_sources(
    config: Config, tools: Sequence[FunctionTool[..., object]], observe: Callable[[Observation], None]
) -> Iterator[ToolSource]:
    """Functions that were handed to us, and programs that the configuration names.

    Each program is a source of its own, so that one that hangs keeps no other waiting.

    Raises:
        ConfigurationError: A function and a program have one name.
    """
    if tools:
        yield FunctionTools(tools)
    names = {each.definition.name for each in tools}
    places = CapacityLimiter(PROBES_AT_ONCE)
    for program in config.tools:
        if program.enabled and program.name in names:
            raise ConfigurationError(f"two tools are named {program.name!r}; rename one")
        yield ProcessTools((program,), environ=os.environ, observe=observe, places=places)


def wire_tools(
    config: Config,
    sources: Sequence[ToolSource],
    observe: Callable[[Observation], None],
    providers: Child[ProviderSystem],
) -> tuple[Child[ToolRunner], SamplingManager]:
    """Who runs the tools of ``sources`` and of the configured servers, and who answers these servers.

    The tool space outlives the actors.
    """
    policies = {each.name: each.sampling for each in config.mcp.servers}
    manager = SamplingManager(SamplingConfig(client_configs=config.models), policies, observe)
    servers = [_settings(each, config.mcp) for each in config.mcp.servers]
    programs = (each.name for each in config.tools if each.enabled)
    space = ToolSpace([each.name for each in servers], own=programs, observe=observe)
    desk = Desk(said=observe, progressed=observe, refused=observe)
    host = partial(ToolHost, sampling=Sampling(manager=manager, providers=providers))
    hosts = {
        each.name: Child(name=each.name, start=partial(host, each, desk, space, observe)) for each in servers
    }
    start = partial(ToolRunner, tuple(sources), space, hosts, observe=observe)
    return Child(name="tool_runner", start=start), manager


def _settings(server: McpServerConfig, common: McpConfig) -> ServerSettings:
    """A server as the configuration describes it, which has been checked."""
    refresh_s = common.tool_refresh_seconds if server.refresh_seconds is None else server.refresh_seconds
    return ServerSettings(
        name=server.name,
        way=_way(server),
        policy=SourcePolicy(
            allow=server.allow,
            deny=server.deny,
            pins=server.pins,
            parameters=server.parameters,
            trusted=server.trusted,
            timeout_s=server.timeout_seconds,
            approval=_approval(server.approve),
            spares_reading=server.approve == "unless_read_only",
        ),
        refresh_s=refresh_s,
        start_s=server.start_seconds,
        parallel=server.parallel,
        roots=server.roots,
    )


def _approval(approve: str | ApproveRules) -> ApprovalPolicy:
    if isinstance(approve, ApproveRules):
        always = () if approve.always is None else approve.always.tool_names
        never = None if approve.never is None else approve.never.tool_names
        return ApprovalPolicy(always=always, never=never)
    return ApprovalPolicy(always=() if approve == "never" else ("*",))


def _way(server: McpServerConfig) -> StdioServer | HttpServer:
    if server.url is None:
        return StdioServer(command=server.command or "", args=server.args, env=server.env, cwd=server.cwd)
    return HttpServer(
        url=server.url,
        transport="sse" if server.transport == "sse" else "streamable-http",
        headers=server.headers,
        allow_private=server.allow_private,
    )
