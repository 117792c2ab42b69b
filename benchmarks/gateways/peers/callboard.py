"""Callboard itself, twice: passing requests on, and running each through an Assistant.

It runs with what it needs and nothing else, where such an environment was installed: packages that only tests
need would be imported by others which look for them, and weigh.
"""

from __future__ import annotations

import compileall
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import callboard
from benchmarks.gateways.gateway import Gateway, Launch, Site, install_listed
from benchmarks.gateways.scenarios import GROWTH_MODELS, MODELS

RELAY, ABOUT_RELAY = "callboard", "Callboard, relay"
ACTORS, ABOUT_ACTORS = "callboard-actors", "Callboard, actor path"
PACKAGE = Path(callboard.__file__).parent
NEEDED = PACKAGE.parents[1] / "requirements" / "runtime.txt"

CONFIG = """\
[server]
port = {port}
keep_alive_seconds = 60

# So that ten thousand streams may be open.
max_concurrency = 20_000
max_connections = 20_000
max_connections_per_address = 20_000

# Limits are far away, but counted; there are prices, so the ledger adds up; each request has its log line.
[limits]
requests_per_minute = 100_000_000
tokens_per_minute = 1_000_000_000_000
cost_per_day_usd = 1_000_000
parallel = 100_000

# What the requests want kept is kept on disk, as it is by default.
[store]
url = "sqlite:///{store}"
max_responses = 100_000

[log]
file = "{log}"

[providers.up]
kind = "openai"
base_url = "{upstream}/v1"
api_key = "sk-upstream"
max_connections = 20_000
"""
MODEL = """
[models.{name}]
provider = "up"
input = 0.15
output = 0.60
{more}"""
FALLBACK = 'fallbacks = ["spare"]\n'
SPARE = """
[providers.spare]
kind = "scripted"

[models.spare]
provider = "spare"
"""


def interpreter(peers: Path) -> str:
    """That of the environment with what Callboard needs and nothing else, where there is one; else ours."""
    own = peers / RELAY / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _version(_home: Path) -> str | None:
    compileall.compile_dir(PACKAGE, quiet=1)
    try:
        return version("callboard")
    except PackageNotFoundError:
        return "checkout"


def _launch(site: Site, *, more: str = "", end: str = "", words: Sequence[str] = ()) -> Launch:
    head = CONFIG.format(
        port=site.port,
        log=site.work / "callboard.log",
        store=site.work / "state.db",
        upstream=site.upstream_url,
    )
    models = "".join(MODEL.format(name=name, more=more) for name in (*MODELS, *GROWTH_MODELS))
    file = site.write("callboard.toml", head + models + end)
    python = interpreter(site.home.parent)
    command = (python, "-m", "callboard.cli.main", "serve", *words, "--config", file)
    return Launch(argv=command, env={"PYTHONPATH": str(PACKAGE.parent)}, responses="/v1/responses")


def relay(site: Site) -> Launch:
    """Requests are passed on as they come; limiter, ledger and log line included."""
    return _launch(site)


def actors(site: Site) -> Launch:
    """A fallback that cannot relay keeps each request from being passed on: an Assistant runs its turn."""
    return _launch(site, more=FALLBACK, end=SPARE)


def with_models(count: int) -> Gateway:
    """Passes requests on, and knows ``count`` models besides those that are asked for."""

    def launch(site: Site) -> Launch:
        return _launch(site, end="".join(MODEL.format(name=f"idle-{each}", more="") for each in range(count)))

    return Gateway(name=RELAY, about=ABOUT_RELAY, version=_version, launch=launch)


def with_actors(models: Sequence[str]) -> Gateway:
    """Runs every request through an Assistant, and knows ``models`` besides those of the scenarios."""

    def launch(site: Site) -> Launch:
        return _launch(
            site,
            more=FALLBACK,
            end=SPARE + "".join(MODEL.format(name=name, more=FALLBACK) for name in models),
        )

    return Gateway(name=ACTORS, about=ABOUT_ACTORS, version=_version, launch=launch)


def with_workers(count: int) -> Gateway:
    """Passes requests on in ``count`` processes."""

    def launch(site: Site) -> Launch:
        return _launch(site, words=("--workers", str(count)))

    return Gateway(name=RELAY, about=ABOUT_RELAY, version=_version, launch=launch)


GATEWAYS = (
    Gateway(name=RELAY, about=ABOUT_RELAY, version=_version, launch=relay, install=install_listed(NEEDED)),
    Gateway(name=ACTORS, about=ABOUT_ACTORS, version=_version, launch=actors),
)
