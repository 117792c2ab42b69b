"""``callboard serve``."""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

import anyio
from msgspec.structs import replace

from callboard.cli.options import add_config, read_config
from callboard.cli.version import installed_version
from callboard.config import Config
from callboard.config.division import divided
from callboard.domain.observation import (
    ConfigurationNotice,
    ServerDraining,
    ServerStarted,
    ServerStopped,
)
from callboard.errors import ConfigurationError
from callboard.runtime import LOG_SCHEMA, kernel_log, open_runtime
from callboard.serving.assembly import admission_of, build_app, listen_of
from callboard.serving.auth import check_listen_address
from callboard.serving.key_desk import has_keys
from callboard.serving.server import serve
from callboard.serving.workers import Workers, keep

GARBAGE = (10_000, 4, 2)
"""Objects made, less those given back, before the youngest are looked through (a request makes a hundred);
and how often that is done before older ones are. An error and the frames that it has passed may hold each
other and all of their request: left for long, such rings make the process a quarter larger."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[--host H] [--port P] [--workers N] [--insecure-no-auth]``."""
    add_config(parser)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (default: 8080)")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="server processes on the one port (default: 1)"
    )
    # What a parent starts: one of so many workers.
    parser.add_argument("--worker-of", type=int, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument(
        "--insecure-no-auth",
        action="store_true",
        help="listen on an address others can reach although there are no client keys",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the HTTP API until it is told to stop."""
    config = read_config(arguments)
    chosen = replace(
        config.server,
        host=arguments.host or config.server.host,
        port=config.server.port if arguments.port is None else arguments.port,
    )
    config = replace(config, server=chosen)
    check_listen_address(
        chosen.host, insecure=arguments.insecure_no_auth, keyed=lambda: anyio.run(has_keys, config)
    )
    if arguments.workers < 1:
        raise ConfigurationError("--workers: at least 1")
    options = {"use_uvloop": sys.platform != "win32"}
    if arguments.workers > 1:
        anyio.run(_keep, config, arguments, backend_options=options)
    elif arguments.worker_of:
        anyio.run(_work, divided(config, arguments.worker_of), backend_options=options)
    else:
        anyio.run(_serve, config, backend_options=options)
    return 0


async def _keep(config: Config, arguments: argparse.Namespace) -> None:
    """Keep workers, each of which runs this command again."""
    given = [
        *(("--config", arguments.config) if arguments.config else ()),
        *(("--insecure-no-auth",) if arguments.insecure_no_auth else ()),
    ]
    server = config.server
    workers = Workers(
        host=server.host,
        port=server.port,
        count=arguments.workers,
        command=lambda port: [
            *(sys.executable, "-m", "callboard.cli.main", "serve", *given),
            *("--host", server.host, "--port", str(port), "--worker-of", str(arguments.workers)),
        ],
        drain_s=server.drain_seconds,
    )
    with kernel_log(config) as observe:
        await keep(workers, started=partial(_greet, config), observe=observe)


async def _work(config: Config) -> None:
    """Be a worker: serve until told to stop, or until the parent has gone."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_orphaned)
        await _serve(config, greet=lambda _: print("ready", flush=True))
        tasks.cancel_scope.cancel()


async def _until_orphaned() -> None:
    """Stop as on a signal when standard input ends: only the parent holds it open."""
    await anyio.wait_readable(sys.stdin.fileno())
    signal.raise_signal(signal.SIGTERM)


async def _serve(config: Config, *, greet: Callable[[str], None] | None = None) -> None:
    """Serve in this process; ``greet`` tells who is waiting for it instead of the user."""
    listen = listen_of(config, shared=greet is not None)
    async with open_runtime(config) as runtime:
        since_ns = time.monotonic_ns()
        for notice in config.notices:
            runtime.observe(ConfigurationNotice(text=notice))
        admission = admission_of(config)

        # What was made until now lives as long as the process: no collection has to look at it again.
        gc.freeze()
        gc.set_threshold(*GARBAGE)

        def started(url: str) -> None:
            runtime.observe(ServerStarted(address=url, version=installed_version(), schema=LOG_SCHEMA))
            if greet is None:
                _greet(config, url)
            else:
                greet(url)

        with runtime.library_logs():
            await serve(
                build_app(runtime, admission),
                admission,
                listen,
                started=started,
                draining=lambda: runtime.observe(ServerDraining()),
            )
        runtime.observe(ServerStopped(duration_us=(time.monotonic_ns() - since_ns) // 1000))


def _greet(config: Config, url: str) -> None:
    model = config.models[0].name if config.models else "MODEL"
    question = {"role": "user", "content": "What is the capital of France?"}
    body = json.dumps({"model": model, "messages": [question]})
    print(f"Callboard is running on {url} (Ctrl-C stops it). Try, in another terminal:\n")
    print(f"    curl {url}v1/chat/completions -H 'content-type: application/json' -d '{body}'\n")
    print('    callboard ask "What is the capital of France?"', flush=True)
