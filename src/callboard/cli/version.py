"""``callboard version``."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Print the version."""
    del arguments
    print(f"callboard {importlib.metadata.version('callboard')} (Python {platform.python_version()})")
    return 0
