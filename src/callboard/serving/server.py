"""`callboard serve`'s own server, and its way of stopping.

On the first SIGTERM or SIGINT the listening socket closes, idle connections close, new requests on open ones
are answered 503, and what is in work goes on; after the drain time it is broken off with an error that says
so. A second signal breaks it off at once.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable

import anyio
from msgspec import Struct

from callboard.errors import ConfigurationError
from callboard.serving.admission import Admission
from callboard.serving.app import App
from callboard.serving.http1 import Listener, ListenLimits

BREAK_OFF_S = 1.0
"""Time for broken-off answers to say so."""

STOPPING = (signal.SIGTERM, signal.SIGINT)

BACKLOG = 2048
"""Connections that the system may hold for us before we accept them."""


class Listen(Struct, frozen=True, kw_only=True):
    """Where and how to listen.

    Attributes:
        port: 0 lets the system choose.
        drain_s: How long work goes on after the first signal.
        limits: What clients may take.
        shared: Whether other processes serve on the same port.
    """

    host: str
    port: int
    drain_s: float
    limits: ListenLimits = ListenLimits()
    shared: bool = False


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; it takes connections once somebody listens on it.

    Args:
        host: Name or address.
        port: 0 lets the system choose.
        shared: Whether other processes of the same user may bind the same port.

    Raises:
        ConfigurationError: The port is in use, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Event loops see by the protocol whether TCP_NODELAY is theirs to set on what is accepted.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
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
    with (
        bind(listen.host, listen.port, shared=listen.shared) as bound,
        anyio.open_signal_receiver(*STOPPING) as signals,
    ):
        async with anyio.create_task_group() as tasks:
            listener = Listener(app.serve, listen.limits, tasks)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(listener.connect, sock=bound, backlog=BACKLOG)
            try:
                host = f"[{listen.host}]" if ":" in listen.host else listen.host
                started(f"http://{host}:{bound.getsockname()[1]}/")
                await anext(signals)
                admission.close()
                draining()
                server.close()
                await _drain(listener, admission, listen.drain_s, signals)
            finally:
                server.close()
                listener.abort()
            tasks.cancel_scope.cancel()


async def _drain(
    listener: Listener, admission: Admission, drain_s: float, signals: AsyncIterator[signal.Signals]
) -> None:
    """Wait for the connections to end, and see to it that they do."""

    async def break_off() -> None:
        with anyio.move_on_after(drain_s):
            await anext(signals)
        admission.break_off()
        await anyio.sleep(BREAK_OFF_S)
        listener.abort()

    async with anyio.create_task_group() as stopping:
        stopping.start_soon(break_off)
        await listener.retire()
        stopping.cancel_scope.cancel()
