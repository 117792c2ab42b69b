"""`callboard serve`'s own server: uvicorn with our protocol and our way of stopping.

On the first SIGTERM or SIGINT the listening socket closes, idle connections close, new requests on open ones
are answered 503, and what is in work goes on; after the drain time it is broken off with an error that says
so. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import anyio
import uvicorn
from msgspec import Struct

from callboard.errors import ConfigurationError
from callboard.serving.admission import Admission
from callboard.serving.app import App
from callboard.serving.listener import ListenLimits, bounded

BREAK_OFF_S = 1.0
"""Time for broken-off answers to say so."""


class Listen(Struct, frozen=True, kw_only=True):
    """Where and how to listen.

    Attributes:
        port: 0 lets the system choose.
        keep_alive_s: How long an idle connection stays open.
        drain_s: How long work goes on after the first signal.
    """

    host: str
    port: int
    keep_alive_s: float
    drain_s: float
    limits: ListenLimits


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals are ours."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.servers: list[asyncio.base_events.Server] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: The port is in use, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} on {host} is in use; stop what listens there, or choose another with --port"
            ) from error
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


async def serve(
    app: App,
    admission: Admission,
    listen: Listen,
    *,
    started: Callable[[str], None],
    draining: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal says stop, then drain. Needs asyncio and the main thread.

    Args:
        app: What to serve.
        admission: Its bound on work, which draining closes.
        listen: Where and how.
        started: Told the address when requests are taken.
        draining: Told when the first signal has come.
    """
    listener = bind(listen.host, listen.port)
    server = _Server(_uvicorn_config(app, listen))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch_signals, server, admission, listen.drain_s, draining)
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        started(f"http://{host}:{listener.getsockname()[1]}/")
        try:
            await server.serve(sockets=[listener])
        finally:
            # uvicorn leaves its sockets open where it is cancelled instead of told to stop.
            for each in server.servers:
                each.close()
            listener.close()
        tasks.cancel_scope.cancel()


def _uvicorn_config(app: App, listen: Listen) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=bounded(listen.limits),
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(listen.keep_alive_s)),
        # Ours comes first; this one is for what does not react.
        timeout_graceful_shutdown=max(1, round(listen.drain_s + 2 * BREAK_OFF_S)),
    )


async def _watch_signals(
    server: _Server, admission: Admission, drain_s: float, draining: Callable[[], None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        await anext(signals)
        admission.close()
        draining()
        server.should_exit = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_break_off_later, admission, drain_s)
            await anext(signals)
            admission.break_off()
            server.force_exit = True
            tasks.cancel_scope.cancel()


async def _break_off_later(admission: Admission, drain_s: float) -> None:
    await anyio.sleep(drain_s)
    admission.break_off()
