"""``callboard version``."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""
    del parser


def installed_version() -> str:
    """Callboard's version; ``unknown`` where it runs from a source tree that was not installed."""
    try:
        return importlib.metadata.version("callboard")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def run(arguments: argparse.Namespace) -> int:
    """Print the version."""
    del arguments
    print(f"callboard {installed_version()} (Python {platform.python_version()})")
    return 0
