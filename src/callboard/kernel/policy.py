"""What to do when a child ends: a pure function. `supervisor` carries its decisions out.

It never sees a task or a clock. The time and a random number are arguments, the history a value it returns.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from callboard.kernel.tree import Backoff, Child, Restart, Strategy, Supervisor

History: TypeAlias = tuple[float, ...]
"""When the latest restarts were decided, oldest first; never longer than the intensity allows."""


class RestartChildren(Struct, frozen=True, kw_only=True):
    """Stop some children in reverse order, then start some in order.

    Attributes:
        stop: Names of those that must not go on, the failed one included, in start order.
        start: Names of those to start again, in start order: ``stop`` without the temporary ones.
        delay_s: Seconds to wait in between.
    """

    stop: tuple[str, ...]
    start: tuple[str, ...]
    delay_s: float


class LeaveStopped(Struct, frozen=True):
    """The child has ended for good."""


class Escalate(Struct, frozen=True):
    """Too many restarts: stop all children and fail."""


Decision: TypeAlias = RestartChildren | LeaveStopped | Escalate


def decide(
    spec: Supervisor, failed: str, *, abnormal: bool, history: History, now: float, chance: float = 0.0
) -> tuple[Decision, History]:
    """Decide what follows from the end of a child.

    Args:
        spec: The supervisor.
        failed: Name of the child that ended.
        abnormal: Whether it crashed.
        history: What the last decision returned; empty at the start.
        now: Monotonic seconds; never less than the last time.
        chance: A random number in [0, 1).

    Returns:
        The decision and the new history. No closed window of ``intensity.within`` seconds holds more than
        ``intensity.max_restarts`` decisions to restart.
    """
    if not _wanted_again(spec, failed, abnormal=abnormal):
        return LeaveStopped(), history
    recent = tuple(then for then in history if now - then <= spec.intensity.within)
    if len(recent) >= spec.intensity.max_restarts:
        return Escalate(), recent
    stop = _affected(spec, failed)
    start = tuple(name for name in stop if _restart_of(spec, name) is not Restart.TEMPORARY)
    delay = _delay(spec.backoff, len(recent), chance)
    return RestartChildren(stop=stop, start=start, delay_s=delay), (*recent, now)


def _wanted_again(spec: Supervisor, name: str, *, abnormal: bool) -> bool:
    match _restart_of(spec, name):
        case Restart.PERMANENT:
            return True
        case Restart.TRANSIENT:
            return abnormal
        case Restart.TEMPORARY:
            return False


def _restart_of(spec: Supervisor, name: str) -> Restart:
    child = next(child for child in spec.children if child.name == name)
    return child.restart if isinstance(child, Child) else Restart.PERMANENT


def _affected(spec: Supervisor, failed: str) -> tuple[str, ...]:
    names = tuple(child.name for child in spec.children)
    match spec.strategy:
        case Strategy.ONE_FOR_ONE:
            return (failed,)
        case Strategy.ONE_FOR_ALL:
            return names
        case Strategy.REST_FOR_ONE:
            return names[names.index(failed) :]


def _delay(backoff: Backoff, restarts_before: int, chance: float) -> float:
    if restarts_before == 0:
        return 0.0
    full: float = min(backoff.ceiling, backoff.initial * backoff.factor ** (restarts_before - 1))
    return full * (1.0 - backoff.jitter * chance)
