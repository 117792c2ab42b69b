"""What Python can do at most: bytes go from one socket to the other, and nobody looks at them."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gateways.gateway import Gateway, Launch, Site


def _version(_home: Path) -> str | None:
    try:
        return f"uvloop {version('uvloop')}"
    except PackageNotFoundError:
        return None


def _launch(site: Site) -> Launch:
    program = str(Path(__file__).with_name("splice_app.py"))
    return Launch(argv=(sys.executable, program, str(site.port), f"127.0.0.1:{site.upstream}"))


GATEWAYS = (Gateway(name="splice", about="Python splice (floor)", version=_version, launch=_launch),)
"""Runs in our own environment."""
