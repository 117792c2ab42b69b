"""``callboard ask``."""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec

from callboard.cli.options import add_assistant, add_config, quiet, read_config
from callboard.cli.terminal import Printer
from callboard.config import Config
from callboard.domain.delta import TextDelta
from callboard.errors import ConfigurationError
from callboard.runtime import Runtime, open_runtime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[-a ASSISTANT] [-m MODEL] [--json] TEXT``."""
    add_config(parser)
    add_assistant(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the whole answer as JSON when it is complete"
    )
    parser.add_argument("text", metavar="TEXT", help="what to ask; - reads standard input")


def run(arguments: argparse.Namespace) -> int:
    """Answer one question, streamed to the terminal."""
    text = sys.stdin.read() if arguments.text == "-" else _as_text(arguments.text)
    if not text.strip():
        raise ConfigurationError("there is nothing to ask: TEXT is empty")
    anyio.run(_ask, quiet(read_config(arguments)), arguments, text)
    return 0


def _as_text(word: str) -> str:
    """``word`` with what was not text in the locale's encoding replaced: Python leaves surrogates there."""
    return word.encode(errors="surrogateescape").decode(errors="replace")


async def _ask(config: Config, arguments: argparse.Namespace, text: str) -> None:
    async with open_runtime(config) as runtime:
        await runtime.settled_servers()  # there is only this one question
        if arguments.json:
            reply = await runtime.ask(arguments.assistant, text, model=arguments.model)
            sys.stdout.write(msgspec.json.encode({"text": reply.text, "reply": reply}).decode() + "\n")
        else:
            await _print(runtime, arguments, text)


async def _print(runtime: Runtime, arguments: argparse.Namespace, text: str) -> None:
    printer = Printer()
    try:
        async with runtime.stream(arguments.assistant, text, model=arguments.model) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    printer.write(event.text)
    finally:
        printer.end()
