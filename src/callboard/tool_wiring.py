"""The part of the tree that runs tools: one space for those of this process, of programs, of MCP servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter
from msgspec.structs import replace

from callboard.actors.provider_system import ProviderSystem
from callboard.actors.sampling import SamplingConfig, SamplingManager
from callboard.actors.sampling_desk import Sampling
from callboard.actors.tool_host import ToolHost
from callboard.actors.tool_runner import ToolRunner
from callboard.config import ApproveRules, Config, McpOAuthConfig, McpServerConfig, logins_folder
from callboard.domain.observation import Observation
from callboard.domain.tools import ApprovalPolicy
from callboard.errors import ConfigurationError
from callboard.kernel import Child
from callboard.tools.function import FunctionTool, FunctionTools
from callboard.tools.mcp import (
    Consent,
    Desk,
    HttpServer,
    OAuthSettings,
    ServerSettings,
    StdioServer,
    load_opener,
)
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
    servers = [_settings(each, config) for each in config.mcp.servers]
    programs = (each.name for each in config.tools if each.enabled)
    space = ToolSpace([each.name for each in servers], own=programs, observe=observe)
    desk = Desk(said=observe, progressed=observe, refused=observe)
    host = partial(ToolHost, sampling=Sampling(manager=manager, providers=providers))
    hosts = {
        each.name: Child(name=each.name, start=partial(host, each, desk, space, observe)) for each in servers
    }
    start = partial(ToolRunner, tuple(sources), space, hosts, observe=observe)
    return Child(name="tool_runner", start=start), manager


async def log_in(config: Config, name: str, consent: Consent, *, scope: str | None = None) -> int:
    """Have a person consent that we use the server ``name``, and keep what comes of it.

    Args:
        config: Says which server that is.
        name: Of ``[mcp.servers.NAME]``.
        consent: Brings that person to a URL, which is one of a configured issuer's choosing.
        scope: To ask for instead of what is configured, or what the server wants.

    Returns:
        How many tools the server then has.

    Raises:
        ConfigurationError: There is no such server, or nobody has to consent to it.
        SourceUnavailable: It did not come to that.
    """
    server = next((each for each in config.mcp.servers if each.name == name), None)
    if server is None:
        raise ConfigurationError(f'no MCP server "{name}" is configured')
    settings = _settings(server, config)
    if not isinstance(settings.way, HttpServer) or settings.way.oauth is None:
        raise ConfigurationError(f"[mcp.servers.{name}] has no oauth, so there is nothing to log in to")
    oauth = settings.way.oauth
    if oauth.grant != "authorization_code":
        raise ConfigurationError(f"[mcp.servers.{name}] needs no login: grant is {oauth.grant}")
    oauth = replace(oauth, anew=True, scope=scope or oauth.scope)
    settings = replace(settings, way=replace(settings.way, oauth=oauth))
    open_session = await load_opener()
    desk = Desk(said=_pass, progressed=_pass, refused=_pass, consent=consent)
    async with open_session(settings, desk) as session:
        return len(await session.tools())


def log_out(config: Config, name: str) -> bool:
    """Forget what somebody has consented to, and who we are to the authorization server.

    The server need not be configured any more.

    Returns:
        Whether there was anything to forget.

    Raises:
        ConfigurationError: It cannot be removed, or no server can have that name.
    """
    path = _login_file(config, name)
    if path.name != f"{name}.json":
        raise ConfigurationError(f'no MCP server can be called "{name}"')
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be removed: {error.strerror}") from error
    return True


def _pass(_: object) -> None:
    """Nobody reads it."""


def _login_file(config: Config, name: str) -> Path:
    return logins_folder(config) / f"{name}.json"


def _settings(server: McpServerConfig, config: Config) -> ServerSettings:
    """A server as the configuration describes it, which has been checked."""
    common = config.mcp
    refresh_s = common.tool_refresh_seconds if server.refresh_seconds is None else server.refresh_seconds
    return ServerSettings(
        name=server.name,
        way=_way(server, _login_file(config, server.name)),
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


def _way(server: McpServerConfig, login: Path) -> StdioServer | HttpServer:
    if server.url is None:
        return StdioServer(command=server.command or "", args=server.args, env=server.env, cwd=server.cwd)
    return HttpServer(
        url=server.url,
        transport="sse" if server.transport == "sse" else "streamable-http",
        headers=server.headers,
        allow_private=server.allow_private,
        oauth=None if server.oauth is None else _oauth(server.oauth, login),
    )


def _oauth(oauth: McpOAuthConfig, login: Path) -> OAuthSettings:
    """``login`` is for what a person has consented to; what we get for ourselves we can get again."""
    return OAuthSettings(
        issuers=oauth.issuers,
        grant=oauth.grant,
        client_id=oauth.client_id,
        client_secret=oauth.client_secret,
        token_endpoint_auth_method=oauth.token_endpoint_auth_method,
        client_metadata_url=oauth.client_metadata_url,
        scope=oauth.scope,
        redirect_port=oauth.redirect_port,
        login=login if oauth.grant == "authorization_code" else None,
    )
