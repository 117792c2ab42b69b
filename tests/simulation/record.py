"""What happened in a simulation, as lines with virtual times, and the tallies that the oracles read."""

import hashlib
from collections import Counter
from enum import Enum

import anyio
import msgspec

from callboard.kernel import LifecycleEvent


class Outcome(Enum):
    """How a message from outside ended for its sender."""

    VALUE = "value"
    REFUSED = "refused"
    FAILED = "failed"
    FULL = "full"
    DRAINING = "draining"
    STOPPED = "stopped"
    LATE = "late"  # DeadlineExceeded, from the work
    GONE = "gone"  # the sender was cancelled, or left


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A message that has ended for its sender."""

    number: int
    outcome: Outcome
    began: float
    ended: float
    deadline: float


class Record:
    """The one book that players, senders and the kernel's observer write into."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[LifecycleEvent] = []
        self.ended: list[Ended] = []
        self.begun: list[int] = []
        self.handled: Counter[int] = Counter()
        self.told: Counter[str] = Counter()  # accepted notices by path
        self.heard: Counter[str] = Counter()  # handled notices by path
        self.in_place = 0  # messages decided in a sender's step
        self.alive = 0  # incarnations inside `running`
        self.working = 0  # spawned work
        self.worked_until: dict[int, float] = {}  # by operation
        self.violations: list[str] = []  # what players noticed themselves
        self.stepped_down: set[str] = set()
        self.drained_from: int | None = None  # index into events

    def write(self, line: str) -> None:
        """Add a line at the present virtual time."""
        self.lines.append(f"{anyio.current_time() - self.origin:.6f} {line}")

    def begin(self) -> None:
        """Set the time that lines count from."""
        self.origin = anyio.current_time()

    def observe(self, event: LifecycleEvent) -> None:
        """Be the kernel's observer."""
        self.events.append(event)
        self.write(f"{type(event).__name__} {event.path}")

    def hash(self) -> str:
        """Return one number for all that happened, in order."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()
