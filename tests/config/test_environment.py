"""The variables of open-responses-server: each one's default, effect and refusal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from callboard.config import VARIABLES, AssistantConfig, Config, OpenAIProvider, load, problems
from callboard.secret import Secret


def default_assistant(config: Config) -> AssistantConfig:
    return next(each for each in config.assistants if each.name == "default")


def openai(config: Config) -> OpenAIProvider:
    return next(each for each in config.providers if isinstance(each, OpenAIProvider))


VALUES: dict[str, Callable[[Config], object]] = {
    "API_ADAPTER_HOST": lambda config: config.server.host,
    "API_ADAPTER_PORT": lambda config: config.server.port,
    "MCP_TOOL_REFRESH_INTERVAL": lambda config: config.mcp.tool_refresh_seconds,
    "MCP_SERVERS_CONFIG_PATH": lambda config: config.mcp.servers_config_path,
    "MAX_CONVERSATION_HISTORY": lambda config: config.store.max_responses,
    "MAX_TOOL_CALL_ITERATIONS": lambda config: (
        config.server.max_rounds,
        default_assistant(config).max_rounds,
    ),
    "HEARTBEAT_INTERVAL": lambda config: config.server.heartbeat_seconds,
    "LOG_LEVEL": lambda config: config.log.level,
    "LOG_FILE_PATH": lambda config: config.log.file,
    "OPENAI_BASE_URL_INTERNAL": lambda config: openai(config).base_url,
    "OPENAI_API_KEY": lambda config: openai(config).api_key,
    "STREAM_TIMEOUT": lambda config: (openai(config).timeouts.first_byte_s, openai(config).timeouts.idle_s),
}

# The second column is what holds without the variable.
TABLE = [
    ("API_ADAPTER_HOST", "127.0.0.1", "0.0.0.0", "0.0.0.0"),
    ("API_ADAPTER_PORT", 8080, "9001", 9001),
    ("MCP_TOOL_REFRESH_INTERVAL", 10.0, "3.5", 3.5),
    ("MCP_SERVERS_CONFIG_PATH", None, "servers.json", "servers.json"),
    ("MAX_CONVERSATION_HISTORY", None, "7", 7),
    ("MAX_TOOL_CALL_ITERATIONS", (25, 25), "3", (3, 3)),
    ("HEARTBEAT_INTERVAL", 15.0, "2.5", 2.5),
    ("HEARTBEAT_INTERVAL", 15.0, "0", 1.0),
    ("HEARTBEAT_INTERVAL", 15.0, "-4", 1.0),
    ("LOG_LEVEL", "info", "DEBUG", "debug"),
    ("LOG_LEVEL", "info", "Warning", "warn"),
    ("LOG_LEVEL", "info", "CRITICAL", "error"),
    ("LOG_FILE_PATH", None, "./log/api_adapter.log", "./log/api_adapter.log"),
]
UPSTREAM = [
    ("OPENAI_BASE_URL_INTERNAL", "http://a/v1", "http://localhost:8000/", "http://localhost:8000/v1"),
    ("OPENAI_BASE_URL_INTERNAL", "http://a/v1", "https://api.example/v1", "https://api.example/v1"),
    ("OPENAI_API_KEY", Secret("dummy-key"), "sk-2", Secret("sk-2")),
    ("STREAM_TIMEOUT", (60.0, 30.0), "120.0", (120.0, 120.0)),
]


@pytest.mark.parametrize("name,default,raw,value", TABLE)
def test_a_variable_has_its_default_and_its_effect(
    tmp_path: Path, name: str, default: object, raw: str, value: object
) -> None:
    assert VALUES[name](load(None, environ={}, cwd=tmp_path)) == default
    assert VALUES[name](load(None, environ={name: ""}, cwd=tmp_path)) == default
    assert VALUES[name](load(None, environ={name: raw}, cwd=tmp_path)) == value


@pytest.mark.parametrize("name,default,raw,value", UPSTREAM)
def test_an_upstream_variable_has_its_default_and_its_effect(
    tmp_path: Path, name: str, default: object, raw: str, value: object
) -> None:
    base = {"OPENAI_BASE_URL_INTERNAL": "http://a"}
    assert VALUES[name](load(None, environ=base, cwd=tmp_path)) == default
    assert VALUES[name](load(None, environ=base | {name: raw}, cwd=tmp_path)) == value


def test_the_tables_have_every_variable() -> None:
    assert {each.name for each in VARIABLES} == set(VALUES) == {row[0] for row in TABLE + UPSTREAM}


@pytest.mark.parametrize("name,raw,value", [(row[0], row[2], row[3]) for row in TABLE + UPSTREAM])
def test_it_goes_before_the_file(tmp_path: Path, name: str, raw: str, value: object) -> None:
    source = {
        "server": {"host": "::1", "port": 1, "heartbeat_seconds": 99},
        "store": {"max_responses": 1},
        "log": {"level": "error", "file": "x"},
        "providers": {
            "openai": {
                "kind": "openai",
                "base_url": "http://file",
                "api_key": "file",
                "timeouts": {"first_byte_s": 1, "idle_s": 1},
            }
        },
        "models": {"m": {"provider": "openai"}},
        "assistants": {"default": {"max_rounds": 1}},
    }
    assert VALUES[name](load(source, environ={name: raw}, cwd=tmp_path)) == value


@pytest.mark.parametrize(
    "name,raw,line",
    [
        ("API_ADAPTER_PORT", "80x", 'API_ADAPTER_PORT="80x": expected a whole number'),
        ("API_ADAPTER_PORT", "8\n0", 'API_ADAPTER_PORT="8\\n0": expected a whole number'),
        (
            "API_ADAPTER_PORT",
            "70000",
            "API_ADAPTER_PORT: [server] port: expected a whole number <= 65535, got 70000",
        ),
        ("MAX_CONVERSATION_HISTORY", "1.5", 'MAX_CONVERSATION_HISTORY="1.5": expected a whole number'),
        (
            "MAX_TOOL_CALL_ITERATIONS",
            "0",
            "MAX_TOOL_CALL_ITERATIONS: [server] max_rounds: expected a whole number >= 1, got 0",
        ),
        ("HEARTBEAT_INTERVAL", "often", 'HEARTBEAT_INTERVAL="often": expected a number'),
        ("HEARTBEAT_INTERVAL", "inf", 'HEARTBEAT_INTERVAL="inf": expected a number'),
        ("LOG_LEVEL", "loud", 'LOG_LEVEL="loud": expected DEBUG, INFO, WARNING or ERROR'),
        (
            "OPENAI_BASE_URL_INTERNAL",
            "localhost:8000",
            "OPENAI_BASE_URL_INTERNAL: [providers.openai] base_url: not a URL",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, raw: str, line: str) -> None:
    assert [str(each) for each in problems(None, environ={name: raw}, cwd=tmp_path)] == [line]


def test_the_upstream_takes_every_model_that_is_not_configured(tmp_path: Path) -> None:
    config = load(None, environ={"OPENAI_BASE_URL_INTERNAL": "http://a"}, cwd=tmp_path)
    assert config.default_provider == "openai"
    assert [each.name for each in config.providers] == ["local", "openai"]
    assert default_assistant(config).model == "smollm2"


def test_it_does_not_take_the_place_of_the_files_catch_all(tmp_path: Path) -> None:
    source = {"providers": {"mine": {"kind": "openai", "any_model": True}}}
    config = load(source, environ={"OPENAI_BASE_URL_INTERNAL": "http://a"}, cwd=tmp_path)
    assert config.default_provider == "mine"


def test_a_key_alone_goes_to_no_other_provider(tmp_path: Path) -> None:
    source = {"providers": {"mine": {"kind": "openai", "api_key": "own"}}}
    assert openai(load(source, environ={"OPENAI_API_KEY": "sk"}, cwd=tmp_path)).api_key == Secret("own")


def test_a_named_mcp_file_is_a_notice_and_no_error(tmp_path: Path) -> None:
    environ = {"MCP_SERVERS_CONFIG_PATH": "servers.json"}
    missing = 'MCP_SERVERS_CONFIG_PATH: the file "servers.json" does not exist'
    assert load(None, environ=environ, cwd=tmp_path).notices == (missing,)
    (tmp_path / "servers.json").write_text("{}")
    empty = 'the file "servers.json" has no table mcpServers'
    assert load(None, environ=environ, cwd=tmp_path).notices == (empty,)
