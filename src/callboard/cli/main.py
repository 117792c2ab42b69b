"""``callboard``: finds the command, and turns what it raises into one line and an exit status.

Exit status: 0 done, 1 the work failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence

from callboard.errors import CallboardError, ConfigurationError, UpstreamError

COMMANDS: Mapping[str, str] = {
    "ask": "answer one question, streamed to the terminal",
    "chat": "hold a conversation in the terminal",
    "configure": "write the configuration file, by flags or by questions",
    "serve": "serve the HTTP API until it is told to stop",
    "bench": "put load on any OpenAI-compatible endpoint and measure it",
    "keys": "make, list and revoke client keys",
    "chats": "bring the files of single users into the store, and out of it",
    "tools": "list, check and call the tools that assistants have, log in to their servers",
    "replay": "run a stored response again, offline, and compare",
    "doctor": "check configuration and providers, and say what to fix",
    "version": "print the version",
}
"""Each is a module of `callboard.cli`, imported when it is used."""

SYNONYMS: Mapping[str, str] = {"--version": "version", "start": "serve"}
"""Other names of commands, which older scripts know."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    _accept_every_character()
    words = _plain(sys.argv[1:] if argv is None else argv)
    name = _command(words[:1])
    command = importlib.import_module(f"callboard.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"callboard {name}", description=COMMANDS[name], allow_abbrev=False)
    command.add_arguments(parser)
    try:
        status: int = command.run(parser.parse_args(words[1:]))
        sys.stdout.flush()
    except ConfigurationError as error:
        return _say(error, USAGE)
    except CallboardError as error:
        return _say(error, FAILED)
    except BrokenPipeError:
        # Whoever read our output has enough of it; Python must not complain about that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _accept_every_character() -> None:
    """Let no character that the terminal's encoding lacks, and no stray byte on input, end the program."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _plain(words: Sequence[str]) -> list[str]:
    """The arguments without synonyms; ``help COMMAND`` is ``COMMAND --help``."""
    first, *rest = words or [""]
    if first == "help":
        return [*_plain(rest[:1]), "--help"]
    return [SYNONYMS.get(first, first), *rest] if words else []


def _command(words: Sequence[str]) -> str:
    """The command's name; ends the process with help or a usage error where there is none."""
    lines = "\n".join(f"  {name:<11}{summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="callboard",
        description="The durable runtime for LLM assistants.",
        epilog=f"commands:\n{lines}\n\n`callboard help COMMAND` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("command", choices=tuple(COMMANDS), metavar="COMMAND", help="what to do; see below")
    chosen: str = parser.parse_args(words).command
    return chosen


def _say(error: CallboardError, status: int) -> int:
    at = f"provider {error.provider}: " if isinstance(error, UpstreamError) and error.provider else ""
    sys.stderr.write(f"callboard: {at}{error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
