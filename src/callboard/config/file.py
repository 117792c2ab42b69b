"""Finding and parsing the configuration file."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path

from callboard.config.environment import Tree
from callboard.config.lines import key_lines
from callboard.config.problems import Problem, Source
from callboard.errors import ConfigurationError

FILE_NAME = "callboard.toml"

_POSITION = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")


def find(cwd: Path) -> Path | None:
    """The nearest `FILE_NAME` in ``cwd`` or a folder above it."""
    candidates = (folder / FILE_NAME for folder in (cwd, *cwd.parents))
    return next((path for path in candidates if path.is_file()), None)


def parse(path: Path, label: str) -> tuple[Tree, Source]:
    """The content of a TOML file, with numbers that have a point as exact decimals, and where its keys stand.

    Raises:
        ConfigurationError: It cannot be read, or is not TOML.
    """
    try:
        text = path.read_text("utf-8")
        return tomllib.loads(text, parse_float=Decimal), Source(label=label, lines=key_lines(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(_syntax_problem(label, text, str(error)))) from error
    except OSError as error:
        raise ConfigurationError(f"{label}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{label}: not UTF-8, from byte {error.start} on") from error
    except RecursionError as error:
        raise ConfigurationError(f"{label}: nested too deeply") from error


def _syntax_problem(label: str, text: str, message: str) -> Problem:
    position = _POSITION.search(message)
    line = int(position.group(1)) if position and position.group(1) else text.count("\n") + 1
    return Problem(origin=label, line=line, message=_POSITION.sub("", message))
