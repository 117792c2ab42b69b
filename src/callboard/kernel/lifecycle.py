"""What happens to actors, as values: the kernel never logs, it tells one ``observe`` callable.

``observe`` is called synchronously, in the order of events, and must neither block nor raise. Events carry
the names of request types and never their content, so that they can be logged as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct


class DeadLetterReason(StrEnum):
    """Why nobody will act on a message."""

    STOPPED = "stopped"  # its actor ended for good
    UNANSWERED = "unanswered"  # receive returned and nobody is left to answer
    REFUSED = "refused"  # receive refused what nobody waits for


class LifecycleEvent(Struct, frozen=True, kw_only=True, tag=True):
    """Something happened.

    Attributes:
        at: The system clock's time, in seconds.
        path: Names from the root to the actor or supervisor concerned, joined by ``/``.
    """

    at: float
    path: str


class Started(LifecycleEvent, frozen=True, kw_only=True):
    """An incarnation entered ``running`` and takes messages. ``incarnation`` counts from 1."""

    incarnation: int


class Stopped(LifecycleEvent, frozen=True, kw_only=True):
    """An incarnation ended as it was meant to. ``cancelled`` says that its grace ran out first."""

    incarnation: int
    cancelled: bool = False


class Crashed(LifecycleEvent, frozen=True, kw_only=True):
    """An incarnation ended with ``error``."""

    incarnation: int
    error: Exception


class Restarted(LifecycleEvent, frozen=True, kw_only=True):
    """The supervisor at ``path`` decided to start ``children`` again, ``delay_s`` seconds from now.

    ``incarnation`` is the supervisor's own: each counts its restarts afresh.
    """

    incarnation: int = 1
    children: tuple[str, ...]
    delay_s: float


class Escalated(LifecycleEvent, frozen=True, kw_only=True):
    """The supervisor at ``path`` gave up on ``child``; ``error`` says why, and it fails with that."""

    incarnation: int = 1
    child: str
    error: Exception


class WorkFailed(LifecycleEvent, frozen=True, kw_only=True):
    """Work spawned for ``request`` failed with ``error``; its asker was told and the actor lives on."""

    request: str
    error: Exception


class DeadLetter(LifecycleEvent, frozen=True, kw_only=True):
    """A message of the type ``request`` will not be acted on. Its asker, if it has one, has been told."""

    request: str
    reason: DeadLetterReason


class MailboxRejected(LifecycleEvent, frozen=True, kw_only=True):
    """A full mailbox refused a message of the type ``request``."""

    request: str


class Drained(LifecycleEvent, frozen=True, kw_only=True):
    """The system has stopped. ``in_time`` says that everything ended by itself within the grace."""

    in_time: bool


Observer: TypeAlias = Callable[[LifecycleEvent], None]
