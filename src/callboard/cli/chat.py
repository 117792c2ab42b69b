"""``callboard chat``."""

from __future__ import annotations

import argparse
import sys

import anyio
from anyio import to_thread

from callboard.cli.options import add_assistant, add_config, quiet, read_config
from callboard.cli.terminal import Printer
from callboard.config import Config
from callboard.domain.delta import GenerationStarted, TextDelta
from callboard.domain.turn import ToolStarted
from callboard.errors import Refusal
from callboard.runtime import Runtime, open_runtime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[-a ASSISTANT] [-m MODEL]``."""
    add_config(parser)
    add_assistant(parser)


def run(arguments: argparse.Namespace) -> int:
    """Hold a conversation in the terminal."""
    anyio.run(_converse, quiet(read_config(arguments)), arguments)
    return 0


async def _converse(config: Config, arguments: argparse.Namespace) -> None:
    interactive = sys.stdin.isatty()
    if interactive:
        print("Type a message; an empty line or Ctrl-D ends.")
    async with open_runtime(config) as runtime:
        previous: str | None = None
        while True:
            if interactive:
                sys.stdout.write("> ")
                sys.stdout.flush()
            # Abandoned on cancellation: nobody can interrupt a thread that reads a terminal.
            line = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            if not line.strip():
                return
            try:
                previous = await _turn(runtime, arguments, line.strip(), previous)
            except Refusal as error:
                sys.stderr.write(f"callboard: {error}\n")


async def _turn(
    runtime: Runtime, arguments: argparse.Namespace, text: str, previous: str | None
) -> str | None:
    """Answer one message; returns the answer's id, which the next turn follows."""
    printer = Printer()
    response_id = previous
    stream = runtime.stream(arguments.assistant, text, model=arguments.model, previous_response_id=previous)
    try:
        async with stream as events:
            async for event in events:
                match event:
                    case GenerationStarted():
                        response_id = event.id
                    case TextDelta():
                        printer.write(event.text)
                    case ToolStarted():
                        printer.end()
                        printer.write(f"[{event.call.name}]\n")
                    case _:
                        pass
    finally:
        printer.end()
    return response_id
