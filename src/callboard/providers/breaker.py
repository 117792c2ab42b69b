"""The circuit breaker of one provider: a state machine without clock or I/O.

::

    closed ──(5 bad in a row)──▶ open ──(2 good probes in a row)──▶ closed
                                 │  ▲
                                 └──┘ at most one probe a second and at a time; a bad one changes nothing

Every admission belongs to an epoch, and opening or closing begins a new one. What calls of an earlier
epoch come to is ignored: a long stream that was admitted before the breaker opened says nothing about the
provider's state now.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

from msgspec import Struct

from callboard.errors import (
    RemoteWireError,
    StreamIncomplete,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

BreakerState: TypeAlias = Literal["closed", "open"]

PROVIDER_FAILURES = (
    UpstreamOverloaded,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
    StreamIncomplete,
)


class Outcome(Enum):
    """What one call says about its provider."""

    GOOD = "good"
    BAD = "bad"
    SILENT = "silent"


class BreakerPolicy(Struct, frozen=True, kw_only=True):
    """When a breaker opens, asks and closes.

    Attributes:
        failures_to_open: Bad calls in a row that open it.
        probe_interval_s: Least time between two probes while it is open.
        probes_to_close: Good probes in a row that close it.
    """

    failures_to_open: int = 5
    probe_interval_s: float = 1.0
    probes_to_close: int = 2


class Admission(Struct, frozen=True, kw_only=True, gc=False):
    """Leave to make one call; give it back to `Breaker.record` however the call ends."""

    epoch: int
    probe: bool


def outcome_of(error: BaseException | None) -> Outcome:
    """What a call that ended with ``error`` (None: well) says about its provider.

    A 4xx is good: the provider is up and finds fault with the call. A cancelled call, a refusal of our own
    and bytes that we could not read say nothing.
    """
    if error is None:
        return Outcome.GOOD
    if isinstance(error, PROVIDER_FAILURES):
        return Outcome.BAD
    if isinstance(error, UpstreamError) and not isinstance(error, RemoteWireError):
        return Outcome.GOOD
    return Outcome.SILENT


class Breaker:
    """Decides whether a provider may be called now. Owned by one actor; times are in seconds."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._state: BreakerState = "closed"
        self._epoch = 0
        self._streak = 0  # bad calls in a row while closed, good probes in a row while open
        self._next_probe_s = 0.0
        self._probing = False
        self._leave = Admission(epoch=0, probe=False)

    @property
    def state(self) -> BreakerState:
        """Closed lets every call through, open only probes."""
        return self._state

    def admit(self, now_s: float) -> Admission | None:
        """Leave to call, or None while the provider rests."""
        if self._state == "closed":
            return self._leave
        if self._probing or now_s < self._next_probe_s:
            return None
        self._probing = True
        self._next_probe_s = now_s + self._policy.probe_interval_s
        return Admission(epoch=self._epoch, probe=True)

    def record(self, admission: Admission, outcome: Outcome, now_s: float) -> None:
        """Take the outcome of an admitted call into account; once per admission."""
        if admission.epoch != self._epoch:
            return
        if admission.probe:
            self._probing = False
        if outcome is Outcome.SILENT:
            return
        helps_to_change = outcome is (Outcome.BAD if self._state == "closed" else Outcome.GOOD)
        self._streak = self._streak + 1 if helps_to_change else 0
        if self._state == "closed" and self._streak >= self._policy.failures_to_open:
            self._enter("open")
            self._next_probe_s = now_s + self._policy.probe_interval_s
        elif self._state == "open" and self._streak >= self._policy.probes_to_close:
            self._enter("closed")

    def retry_after_s(self, now_s: float) -> float:
        """Seconds after which asking again is sensible; 0 while closed."""
        if self._state == "closed":
            return 0.0
        return max(self._next_probe_s - now_s, 0.0)

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._epoch += 1
        self._streak = 0
        self._leave = Admission(epoch=self._epoch, probe=False)
