"""A supervision tree as a value: printed, compared and tested before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Restart(Enum):
    """When a child is started again."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # after a crash
    TEMPORARY = "temporary"  # never


class Strategy(Enum):
    """Which siblings a child takes with it when it is restarted."""

    ONE_FOR_ONE = "one_for_one"  # none
    ONE_FOR_ALL = "one_for_all"  # all
    REST_FOR_ONE = "rest_for_one"  # those started after it


class Intensity(Struct, frozen=True, kw_only=True):
    """How often a supervisor restarts before it gives up and fails itself.

    A rate and not a count: a bug at start-up ends the system fast, one crash a day never does.

    Attributes:
        max_restarts: Decisions to restart within any window; 0 escalates at the first.
        within: Length of the window in seconds.
    """

    max_restarts: int = 3
    within: float = 5.0


class Backoff(Struct, frozen=True, kw_only=True):
    """How long a supervisor waits before it starts a child again.

    The first restart within the intensity's window is immediate; the second waits ``initial``, each further
    one ``factor`` times as long, up to ``ceiling``.

    Attributes:
        initial: Seconds before the second restart.
        factor: Growth from one restart to the next.
        ceiling: Seconds it never exceeds.
        jitter: Share of the delay that is random, from 0 to 1, so that many do not come back at once.
    """

    initial: float = 0.05
    factor: float = 2.0
    ceiling: float = 5.0
    jitter: float = 0.2


class Child(Struct, Generic[T], frozen=True, kw_only=True):
    """How to start an actor of the class ``T``, and what to do when it ends.

    Attributes:
        name: Unique among its siblings.
        start: Makes a fresh actor; called once for each incarnation. The actor's class or any function.
        restart: When it is started again.
        grace: Seconds it has to end by itself when it is stopped; then it is cancelled.
    """

    name: str
    start: Callable[[], T]
    restart: Restart = Restart.PERMANENT
    grace: float = 5.0


class Supervisor(Struct, frozen=True, kw_only=True):
    """Children that are started in order and stopped in reverse, and the policy for when one crashes.

    A supervisor that is itself a child is permanent, and has as long to stop as its children need.

    Attributes:
        name: Unique among its siblings.
        children: Actors and further supervisors. A child may rely on those before it.
        strategy: Which siblings a crashed child takes with it.
        intensity: How many restarts are too many.
        backoff: How long to wait before one.
    """

    name: str
    children: tuple[Child[Any] | Supervisor, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = Intensity()
    backoff: Backoff = Backoff()

    def __post_init__(self) -> None:
        """Refuse two children of one name."""
        if len({child.name for child in self.children}) < len(self.children):
            raise ValueError(f"the supervisor {self.name} has two children of one name")
