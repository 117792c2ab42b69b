"""``callboard configure``: writes the few lines of ``callboard.toml`` that everybody needs.

On a terminal it asks for what was not given; elsewhere that stays as it is. Of a file that exists nothing
else is changed, and what is written loads: it is checked before.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from callboard.cli.options import add_config
from callboard.cli.terminal import printable
from callboard.config import OpenAIProvider, ServerConfig, StoreConfig, problems
from callboard.config.edit import assignment, header, with_values
from callboard.config.file import FILE_NAME, find
from callboard.config.problems import KeyPath
from callboard.errors import ConfigurationError
from callboard.whole_file import write_whole

T = TypeVar("T")

UPSTREAM = "upstream"
"""What the provider is called that is made here."""

IN_MEMORY = "memory:"
MOST_PORT = 65535

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


class Choices(Struct, frozen=True, kw_only=True):
    """What is to be configured; None is left as it is.

    Attributes:
        key_env: Name of the environment variable that holds the upstream's key.
        store: Whether responses are kept on disk.
    """

    base_url: str | None = None
    key_env: str | None = None
    model: str | None = None
    host: str | None = None
    port: int | None = None
    store: bool | None = None


class _Standing(Struct, frozen=True, kw_only=True):
    """What a file says of it already.

    Attributes:
        provider: Name of the one that is configured.
        choices: As they stand, or the defaults; the model, and the key's variable, may be None.
        store_url: Where responses are kept.
    """

    provider: str
    choices: Choices
    store_url: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[--base-url URL] [--key-env NAME] [--model MODEL] [--host H] [--port P] [--store | --no-store]``."""
    add_config(parser)
    parser.add_argument(
        "--base-url", type=_word, metavar="URL", help="the upstream, such as http://127.0.0.1:8000/v1"
    )
    parser.add_argument(
        "--key-env",
        type=_variable,
        metavar="NAME",
        help="the environment variable that holds the upstream's key; the key itself is never written",
    )
    parser.add_argument("--model", type=_word, help="the model to use, as the upstream calls it")
    parser.add_argument("--host", type=_word, help="address to listen on")
    parser.add_argument("--port", type=_port, help="port to listen on, 0 for any")
    parser.add_argument(
        "--store", action=argparse.BooleanOptionalAction, help="whether to keep responses on disk"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the configuration, and say what was written and what comes next."""
    path = _path(arguments.config)
    text = _text_of(path)
    standing = _standing(text)
    given = msgspec.convert(vars(arguments), Choices)
    chosen = _asked(given, standing.choices) if sys.stdin.isatty() and sys.stdout.isatty() else given
    values = dict(_values(chosen, standing))
    if not values:
        raise ConfigurationError("nothing to configure: `callboard help configure` lists what there is")
    changed = with_values(text, values)
    _check(changed)
    write_whole(path, changed.encode())
    print(f"Wrote {path}:\n")
    for key, value in values.items():
        print(f"    {header(key)} {printable(assignment(key, value))}")
    print("\nNext:\n")
    if chosen.key_env is not None and chosen.key_env not in os.environ:
        print(f"    export {chosen.key_env}=…")
    print("    callboard doctor\n    callboard serve")
    return 0


def _path(named: str | None) -> Path:
    """The file that other commands would read; a link's target, so that the link stays."""
    path = find(Path.cwd()) if named is None else Path(named)
    return (path or Path(FILE_NAME)).resolve()


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8, from byte {error.start} on") from error


def _standing(text: str) -> _Standing:
    try:
        tree: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML, and so not changed: {error}") from error
    models = _at(tree, "models")
    first = next(iter(models), None) if isinstance(models, dict) else None
    model = _at(tree, "assistants", "default", "model") or first
    named = str(_at(tree, "models", str(model), "provider"))
    # A model that runs elsewhere than behind a URL keeps its provider; the upstream is another one.
    provider = named if _at(tree, "providers", named, "kind") == OpenAIProvider.kind else UPSTREAM
    upstream, server = ("providers", provider), ServerConfig()
    key = _REFERENCE.fullmatch(str(_at(tree, *upstream, "api_key")))
    port = _at(tree, "server", "port")
    url = str(_at(tree, "store", "url") or StoreConfig().url)
    return _Standing(
        provider=provider,
        store_url=url,
        choices=Choices(
            base_url=str(_at(tree, *upstream, "base_url") or OpenAIProvider(name=provider).base_url),
            key_env=key[1] if key and _VARIABLE.fullmatch(key[1]) else None,
            model=None if model is None else str(model),
            host=str(_at(tree, "server", "host") or server.host),
            port=port if isinstance(port, int) else server.port,
            store=url != IN_MEMORY,
        ),
    )


def _at(tree: object, *path: str) -> object:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _values(chosen: Choices, standing: _Standing) -> Mapping[KeyPath, str | int]:
    """What has to stand in the file."""
    values: dict[KeyPath, str | int] = {}
    if chosen.host is not None:
        values["server", "host"] = chosen.host
    if chosen.port is not None:
        values["server", "port"] = chosen.port
    if chosen.store is not None:
        on_disk = standing.store_url if standing.choices.store else StoreConfig().url
        values["store", "url"] = on_disk if chosen.store else IN_MEMORY
    upstream = "providers", standing.provider
    if chosen.base_url is not None or chosen.key_env is not None or chosen.model is not None:
        model = chosen.model or standing.choices.model
        if model is None:
            raise ConfigurationError(
                "--model is missing: no model is configured yet that the upstream could have"
            )
        values[*upstream, "kind"] = OpenAIProvider.kind
        if chosen.base_url is not None:
            values[*upstream, "base_url"] = chosen.base_url
        if chosen.key_env is not None:
            values[*upstream, "api_key"] = f"${{{chosen.key_env}}}"
        values["models", model, "provider"] = standing.provider
        values["assistants", "default", "model"] = model
    return values


def _check(text: str) -> None:
    """Refuse what would not load; that variables are not set yet is no fault of the file's."""
    named = {name: os.environ.get(name, "1") for name in _REFERENCE.findall(text)}
    wrong = problems(tomllib.loads(text), environ=named, cwd=Path.cwd())
    if wrong:
        raise ConfigurationError(f"nothing was written, because it would not load: {wrong[0]}")


# --- asking
# ---------------------------------------------------------------------------------------------------------


def _asked(given: Choices, standing: Choices) -> Choices:
    """``given``, and the answers to the questions about the rest; an empty answer takes what stands."""
    base_url, key_env, model, host, port, store = msgspec.structs.astuple(given)
    model = model or _answer("Upstream's model, none for the built-in one", standing.model, _word)
    if model is not None:
        base_url = base_url or _answer("Upstream's base URL", standing.base_url, _word)
        key_env = key_env or _answer(
            "Environment variable with its key, if it needs one", standing.key_env, _variable
        )
    kept = "yes" if standing.store else "no"
    return Choices(
        base_url=base_url,
        key_env=key_env,
        model=model,
        host=host or _answer("Address to listen on", standing.host, _word),
        port=_answer("Port", str(standing.port), _port) if port is None else port,
        store=_answer("Keep responses on disk, yes or no", kept, _yes) if store is None else store,
    )


def _answer(question: str, standing: str | None, read: Callable[[str], T]) -> T | None:
    """The answer to a question, asked until it can be used."""
    prompt = f"{question} [{printable(standing)}]: " if standing else f"{question}: "
    while True:
        try:
            answer = input(prompt).strip() or standing
            return read(answer) if answer else None
        except EOFError as error:
            raise ConfigurationError("nothing was written: the questions were not answered") from error
        except argparse.ArgumentTypeError as error:
            print(error)


def _word(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("expected something that can be read")
    return text.strip()


def _variable(text: str) -> str:
    # Not repeated: it may be the key.
    if not _VARIABLE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "expected the name of an environment variable, in capitals; never give the key itself"
        )
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MOST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected a number from 0 to {MOST_PORT}")
    return int(text)


def _yes(text: str) -> bool:
    known = {"yes": True, "y": True, "no": False, "n": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError("expected yes or no")
    return known[text.lower()]
