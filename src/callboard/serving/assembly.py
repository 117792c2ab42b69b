"""The application over a running runtime."""

from __future__ import annotations

import time
from collections.abc import Callable

from callboard.config import Config, parse_allowed
from callboard.errors import ConfigurationError
from callboard.providers.handler import ForwardHandler
from callboard.runtime import Runtime
from callboard.serving.admission import Admission
from callboard.serving.app import App
from callboard.serving.auth import Doorkeeper
from callboard.serving.exchange import Exchange
from callboard.serving.front import front_of
from callboard.serving.house import House, Names
from callboard.serving.http1 import ListenLimits
from callboard.serving.proxy.route import Proxy
from callboard.serving.routes import ROUTES
from callboard.serving.routing import Route
from callboard.serving.server import Listen
from callboard.serving.socket import SocketLimits
from callboard.wiring import CHAT


def build_app(
    runtime: Runtime, admission: Admission | None = None, sockets: SocketLimits | None = None
) -> App:
    """The ASGI application that serves ``runtime``; mount it where you like.

    Args:
        runtime: Must be running as long as the application is used.
        admission: Bounds the work; by default as the configuration says.
        sockets: How long WebSockets last; by default as the configuration says.
    """
    bound = admission or admission_of(runtime.config)
    house = _house(runtime, bound, sockets or sockets_of(runtime.config))
    return App(house, ROUTES, doorkeeper_of(runtime), bound, elsewhere=_elsewhere(runtime))


def admission_of(config: Config) -> Admission:
    """The bound on work that ``config`` describes."""
    server = config.server
    places = server.max_concurrency
    return Admission(places, min(server.queue, 2 * places), server.queue_seconds)


def sockets_of(config: Config) -> SocketLimits:
    """How long WebSockets last by ``config``."""
    server = config.server
    return SocketLimits(idle_s=server.socket_idle_seconds, lifetime_s=server.socket_lifetime_seconds)


def listen_of(config: Config, *, shared: bool = False) -> Listen:
    """Where and how ``config`` says to listen; ``shared`` with other processes on the same port."""
    server = config.server
    return Listen(
        host=server.host,
        port=server.port,
        drain_s=server.drain_seconds,
        limits=ListenLimits(
            header_s=server.header_seconds,
            body_idle_s=server.body_idle_seconds,
            keep_alive_s=server.keep_alive_seconds,
            send_idle_s=server.send_idle_seconds,
            ping_s=server.socket_ping_seconds,
            connections=server.max_connections,
            connections_per_address=server.max_connections_per_address,
            trusted_proxies=server.trusted_proxies,
        ),
        shared=shared,
    )


def doorkeeper_of(runtime: Runtime) -> Doorkeeper:
    """Who may come in, by its configuration and its keys."""
    server = runtime.config.server
    return Doorkeeper(frozenset({server.host, *server.allowed_hosts}), runtime.wiring.keys)


def _elsewhere(runtime: Runtime) -> Callable[[Exchange], Route | None] | None:
    """The way on for what none of our routes answers, where ``[proxy]`` opens one."""
    proxy = runtime.config.proxy
    if not proxy.enabled or proxy.upstream is None:
        return None
    handler = runtime.wiring.handlers[proxy.upstream]
    if not isinstance(handler, ForwardHandler):
        raise ConfigurationError(f"[proxy] upstream: the provider {proxy.upstream!r} cannot pass requests on")
    return Proxy(proxy.upstream, handler, tuple(parse_allowed(each) for each in proxy.allow)).route


def _house(runtime: Runtime, admission: Admission, sockets: SocketLimits) -> House:
    return House(
        providers=runtime.providers,
        assistant=runtime.system.ref(runtime.wiring.chat),
        assistant_name=CHAT,
        front=front_of(runtime),
        archivist=runtime.archivist,
        store=runtime.wiring.store,
        watch=runtime.wiring.watch,
        adrift=runtime.wiring.adrift,
        give_up=runtime.give_up,
        relays=runtime.relays,
        mcp_servers=frozenset(each.name for each in runtime.config.mcp.servers),
        mcp_remote=runtime.config.mcp.remote,
        check_model=runtime.check_model,
        routes=runtime.wiring.routes,
        observe=runtime.observe,
        bug=runtime.bug,
        clock_ns=time.perf_counter_ns,
        now_s=time.time,
        new_id=Names().new,
        ready=lambda: not admission.closed,
        admit=runtime.system.admit,
        max_body_bytes=runtime.config.server.max_body_bytes,
        heartbeat_s=runtime.config.server.heartbeat_seconds,
        sockets=sockets,
    )
