"""TOML and environment become one frozen `Config`, read once at start; every mistake is one clear line."""

from callboard.config.allow_list import AllowedRoute, parse_allowed
from callboard.config.environment import VARIABLES, Variable
from callboard.config.load import load, problems
from callboard.config.logins import logins_folder
from callboard.config.mcp_oauth import McpOAuthConfig, is_scope
from callboard.config.mcp_servers import ApproveRules, McpServerConfig
from callboard.config.problems import Problem
from callboard.config.remote_servers import may_dial
from callboard.config.schema import (
    AssistantConfig,
    Config,
    LimitsConfig,
    LocalProvider,
    LogConfig,
    McpConfig,
    OpenAIProvider,
    Provider,
    ProviderConfig,
    ProxyConfig,
    ScriptedProvider,
    ServerConfig,
    StoreConfig,
    Timeouts,
)

__all__ = [
    "VARIABLES",
    "AllowedRoute",
    "ApproveRules",
    "AssistantConfig",
    "Config",
    "LimitsConfig",
    "LocalProvider",
    "LogConfig",
    "McpConfig",
    "McpOAuthConfig",
    "McpServerConfig",
    "OpenAIProvider",
    "Problem",
    "Provider",
    "ProviderConfig",
    "ProxyConfig",
    "ScriptedProvider",
    "ServerConfig",
    "StoreConfig",
    "Timeouts",
    "Variable",
    "is_scope",
    "load",
    "logins_folder",
    "may_dial",
    "parse_allowed",
    "problems",
]
