"""The environment variables that work and override the file.

Their names are those of open-responses-server, so that what ran there runs here unchanged. An empty variable
counts as unset. Where its default and ours differ, the safer one holds: we listen on 127.0.0.1, log to
standard error, and keep our own shorter upstream time limits until ``STREAM_TIMEOUT`` says otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from msgspec import Struct

from callboard.config.problems import KeyPath, Problem

Tree = dict[str, object]

LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "warning": "warn",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}
"""Names of log levels, in lower case, and what we call them."""


def _text(raw: str) -> str:
    return raw


def _integer(raw: str) -> int:
    try:
        return int(raw)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _number(raw: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("expected a number")
    return number


def _heartbeat(raw: str) -> float:
    seconds = _number(raw)
    return seconds if seconds > 0 else 1.0


def _level(raw: str) -> str:
    level = LEVELS.get(raw.strip().lower())
    if level is None:
        raise ValueError("expected DEBUG, INFO, WARNING or ERROR")
    return level


def _base_url(raw: str) -> str:
    # The variable names the server, our base_url the API's root: `/v1` belongs to the second alone.
    url = raw.rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


class Variable(Struct, frozen=True):
    """One environment variable.

    Attributes:
        name: As it is set.
        paths: The keys it overrides; ``*`` stands for every NAME that is configured and can have the key.
        parse: Its text as a value; raises ValueError with what was expected.
        meaning: For the documentation.
        default: For the documentation: what holds where neither it nor the file says anything.
    """

    name: str
    paths: tuple[KeyPath, ...]
    parse: Callable[[str], object]
    meaning: str
    default: str


VARIABLES = (
    Variable(
        "OPENAI_BASE_URL_INTERNAL",
        (("providers", "openai", "base_url"),),
        _base_url,
        "adds a provider `openai` there, which takes every model name configured nowhere",
        "no such provider",
    ),
    Variable(
        "OPENAI_API_KEY",
        (("providers", "openai", "api_key"),),
        _text,
        "key of the provider `openai`, where there is one",
        "dummy-key, with OPENAI_BASE_URL_INTERNAL",
    ),
    Variable("API_ADAPTER_HOST", (("server", "host"),), _text, "address to listen on", "127.0.0.1"),
    Variable("API_ADAPTER_PORT", (("server", "port"),), _integer, "port to listen on", "8080"),
    Variable(
        "MCP_TOOL_REFRESH_INTERVAL",
        (("mcp", "tool_refresh_seconds"),),
        _number,
        "seconds between reading lists of MCP tools; 0 never",
        "10",
    ),
    Variable(
        "MCP_SERVERS_CONFIG_PATH",
        (("mcp", "servers_config_path"),),
        _text,
        "an `mcpServers` file; what of it cannot be used is skipped with a notice",
        "none",
    ),
    Variable(
        "MAX_CONVERSATION_HISTORY",
        (("store", "max_responses"),),
        _integer,
        "responses that are kept",
        "100 in memory, any number on disk",
    ),
    Variable(
        "MAX_TOOL_CALL_ITERATIONS",
        (("server", "max_rounds"), ("assistants", "*", "max_rounds")),
        _integer,
        "rounds of our tools in one turn, for chat completions and for every assistant",
        "25",
    ),
    Variable(
        "STREAM_TIMEOUT",
        (("providers", "*", "timeouts", "first_byte_s"), ("providers", "*", "timeouts", "idle_s")),
        _number,
        "seconds without a byte from an upstream that streams, for every provider of kind openai",
        "60 to the first byte, then 30",
    ),
    Variable(
        "HEARTBEAT_INTERVAL",
        (("server", "heartbeat_seconds"),),
        _heartbeat,
        "seconds between heartbeats of an idle stream; 0 or less means 1",
        "15",
    ),
    Variable("LOG_LEVEL", (("log", "level"),), _level, "least level that is logged", "INFO"),
    Variable("LOG_FILE_PATH", (("log", "file"),), _text, "file to log to", "standard error"),
)


def overlay(tree: Tree, environ: Mapping[str, str]) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Write what the variables say into ``tree``, which is changed.

    Returns:
        The variable that set each key, and one problem for each variable that cannot be read.
    """
    origins: dict[KeyPath, str] = {}
    found: list[Problem] = []
    if environ.get("OPENAI_BASE_URL_INTERNAL"):
        _add_openai(tree)
    for variable in VARIABLES:
        raw = environ.get(variable.name)
        if not raw:
            continue
        try:
            value = variable.parse(raw)
        except ValueError as error:
            origin = f"{variable.name}={json.dumps(raw)}"
            found.append(Problem(origin=origin, message=str(error)))
            continue
        for path in variable.paths:
            for each in _targets(tree, path):
                if _assign(tree, each, value):
                    origins[each] = variable.name
    return origins, found


def _add_openai(tree: Tree) -> None:
    providers = tree.setdefault("providers", {})
    if not isinstance(providers, dict) or "openai" in providers:
        return
    taken = any(isinstance(each, dict) and each.get("any_model") for each in providers.values())
    providers["openai"] = {"kind": "openai", "api_key": "dummy-key", "any_model": not taken}


def _targets(tree: Tree, path: KeyPath) -> list[KeyPath]:
    """The keys that ``path`` means in ``tree``; of providers, those that are there and speak OpenAI's API."""
    section, name = path[0], path[1]
    if section not in {"providers", "assistants"}:
        return [path]
    tables = tree.get(section)
    if not isinstance(tables, dict):
        return []
    return [
        (section, str(each), *path[2:])
        for each, table in tables.items()
        if name in {"*", each}
        and isinstance(table, dict)
        and (section == "assistants" or table.get("kind") == "openai")
    ]


def _assign(tree: Tree, path: KeyPath, value: object) -> bool:
    """Set the key at ``path``, making tables on the way; False where something else than a table is there."""
    table = tree
    for key in path[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[path[-1]] = value
    return True
