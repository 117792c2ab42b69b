"""``callboard serve``."""

from __future__ import annotations

import argparse
import json
import sys
import time

import anyio
from msgspec.structs import replace

from callboard.cli.options import add_config, read_config
from callboard.cli.version import installed_version
from callboard.config import Config
from callboard.domain.observation import (
    ConfigurationNotice,
    ServerDraining,
    ServerStarted,
    ServerStopped,
)
from callboard.runtime import LOG_SCHEMA, open_runtime
from callboard.serving.assembly import admission_of, build_app
from callboard.serving.auth import check_listen_address
from callboard.serving.http1 import ListenLimits
from callboard.serving.server import Listen, serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[--host H] [--port P] [--insecure-no-auth]``."""
    add_config(parser)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (default: 8080)")
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
    check_listen_address(chosen.host, insecure=arguments.insecure_no_auth)
    options = {"use_uvloop": sys.platform != "win32"}
    anyio.run(_serve, replace(config, server=chosen), backend_options=options)
    return 0


async def _serve(config: Config) -> None:
    server = config.server
    listen = Listen(
        host=server.host,
        port=server.port,
        drain_s=server.drain_seconds,
        limits=ListenLimits(
            header_s=server.header_seconds,
            body_idle_s=server.body_idle_seconds,
            keep_alive_s=server.keep_alive_seconds,
            send_idle_s=server.send_idle_seconds,
            connections=server.max_connections,
            connections_per_address=server.max_connections_per_address,
        ),
    )
    async with open_runtime(config) as runtime:
        since_ns = time.monotonic_ns()
        for notice in config.notices:
            runtime.observe(ConfigurationNotice(text=notice))
        admission = admission_of(config)

        def started(url: str) -> None:
            runtime.observe(ServerStarted(address=url, version=installed_version(), schema=LOG_SCHEMA))
            _greet(config, url)

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
