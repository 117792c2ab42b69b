"""What one running system shares with all its actors; everything that is not deterministic is in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from callboard.kernel.admission import Admission
from callboard.kernel.lifecycle import Observer
from callboard.kernel.signal import Signals


class Environment(Struct, frozen=True, kw_only=True, eq=False):
    """The injected dependencies of a system.

    Attributes:
        observe: Told of every lifecycle event.
        clock: Monotonic seconds; decides restart intensity and stamps events.
        chance: Random numbers in [0, 1), for the jitter of back-off.
        admission: The system's door.
        signals: The event loop's fastest one-shot wake-ups.
        now: The event loop's time.
        deadline: The running task's effective deadline in the event loop's time; infinite where it has none.
    """

    observe: Observer
    clock: Callable[[], float]
    chance: Callable[[], float]
    admission: Admission
    signals: Signals[Any]
    now: Callable[[], float]
    deadline: Callable[[], float]
