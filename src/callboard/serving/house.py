"""What is behind the doors: everything a route may use, as one value made at wiring."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from msgspec import Struct

from callboard.actors.archivist import Archivist
from callboard.actors.assistant import Assistant
from callboard.actors.provider_system import ProviderSystem
from callboard.domain.observation import Observation
from callboard.kernel import ActorRef
from callboard.providers.routing import RouteTable
from callboard.serving.front import Front
from callboard.serving.socket import SocketLimits
from callboard.store.adrift import Adrift
from callboard.store.store import Store
from callboard.store.watch import Watch

NAMES_AT_ONCE = 256
"""As many names are drawn from the system's random numbers with one call."""


class Names:
    """Makes identifiers with 128 random bits."""

    __slots__ = ("_drawn",)

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def new(self, prefix: str) -> str:
        """A fresh one, behind ``prefix``."""
        if not self._drawn:
            digits = os.urandom(16 * NAMES_AT_ONCE).hex()
            self._drawn = [digits[at : at + 32] for at in range(0, len(digits), 32)]
        return prefix + self._drawn.pop()


class House(Struct, frozen=True, kw_only=True):
    """See the module's docstring.

    Attributes:
        assistant: Answers chat completions and responses: no instructions of its own, all tools of the
            runtime's.
        assistant_name: What stored orders call it.
        front: What the chat routes use.
        archivist: Writes to the store.
        store: For reading.
        watch: Tells of what the archivist writes.
        adrift: Takes what nobody works on any more.
        give_up: Has the named assistant stop its work on a response that somebody else has ended.
        relays: Whether a model's requests may be passed on as they are: each provider that may serve it
            speaks
            the client's dialect, and there is no tool of ours to offer.
        mcp_servers: Names of those that are configured.
        mcp_remote: Where requests may name others (`callboard.config.remote_servers`).
        check_model: Raises `UnknownModel` for one that nobody serves.
        routes: Which models there are, and which one ``auto`` is.
        observe: Told of every request that ends.
        bug: Told of every exception that should not have happened, with the request's id.
        clock_ns: Monotonic nanoseconds.
        now_s: Seconds since the epoch.
        new_id: A fresh identifier behind the given prefix.
        ready: Whether new work is taken.
        admit: A block of work that a drain of the runtime waits for; `Draining` once one has begun.
    """

    providers: ActorRef[ProviderSystem]
    assistant: ActorRef[Assistant]
    assistant_name: str
    front: Front
    archivist: ActorRef[Archivist]
    store: Store
    watch: Watch
    adrift: Adrift
    give_up: Callable[[str, str], Awaitable[None]]
    relays: Callable[[str], bool]
    mcp_servers: frozenset[str]
    mcp_remote: tuple[str, ...]
    check_model: Callable[[str], None]
    routes: RouteTable
    observe: Callable[[Observation], None]
    bug: Callable[[str, BaseException], None]
    clock_ns: Callable[[], int]
    now_s: Callable[[], float]
    new_id: Callable[[str], str]
    ready: Callable[[], bool]
    admit: Callable[[], AbstractContextManager[None]]
    max_body_bytes: int
    heartbeat_s: float
    sockets: SocketLimits = SocketLimits()
