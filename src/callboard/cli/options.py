"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from msgspec.structs import replace

from callboard.config import Config, load


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config FILE``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: callboard.toml here or above, else built-in defaults)",
    )


def add_assistant(parser: argparse.ArgumentParser) -> None:
    """``-a ASSISTANT`` and ``-m MODEL``."""
    parser.add_argument("-a", "--assistant", default="default", help="who answers (default: default)")
    parser.add_argument("-m", "--model", help="the model to use instead of the assistant's own")


def quiet(config: Config) -> Config:
    """``config`` for a command that owns the terminal: only bugs are logged there.

    What goes wrong otherwise the command says itself, in one line. A log that goes to a file, and a level
    that was chosen to hear less, stay as they are.
    """
    if config.log.file is not None or config.log.level == "warn":
        return config
    return replace(config, log=replace(config.log, level="error"))


def read_config(arguments: argparse.Namespace) -> Config:
    """The configuration the arguments name."""
    return load(arguments.config, environ=os.environ, cwd=Path.cwd())
