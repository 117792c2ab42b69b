"""The limiter in memory: joins meters and waiting lines; synchronous and pure, its owner drives it.

Theory of operation. Each scope has a `Gate`. An ask passes at once when no gate on its way has a line and all
have room. Otherwise it joins the `Lane` of its scopes, and the lane waits in line at the first gate that does
not let it through. It stays in every line it had to join until it is through, so what it waits for gathers
for it. A lane that reaches the head of a shared line while a gate before it has no room gives that place up:
whoever is slowed by their own limit never slows others down. Lines are ordered by turn, and each admission
sends a lane to the end, so payers alternate however many asks each of them has.

Each event *stirs* the gates whose first in line may now get through; `MemoryLimits.pump` looks at stirred
gates only. The cost of a decision depends on the scopes of an ask, not on the number of keys or waiters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from msgspec import Struct

from callboard.errors import BudgetExceeded, Overloaded, RateLimited
from callboard.limits.gate import COST, LIMIT_NAMES, Gate, Lane
from callboard.limits.limits import Admitted, Amounts, Ask, Decision, LimitSpec, Queued, Refused, Scope

RESERVATION_TTL_NS = 6 * 3_600_000_000_000
"""Far above any call's time limit, and above the hour by which a clock may step."""

PLACE_RETRY_NS = 1_000_000_000
"""Nobody knows when a parallel request ends; after a second it is worth another try."""

IDLE_GATES = 4_000
"""As many scopes are remembered without asking whether they are idle."""


class Statistics(Struct, frozen=True, kw_only=True):
    """How full a limiter is: open reservations, asks in line, scopes remembered."""

    open: int
    waiting: int
    scopes: int


class MemoryLimits:
    """`callboard.limits.limits.Limits` for one process.

    Args:
        spec_of: The limits of a scope, looked up when the scope is first seen after being idle.
        max_waiting: Asks that may wait in all; one more is `Overloaded`.
        max_waiting_per_payer: Asks that may wait for one payer (an ask's first scope); one more is
            `RateLimited`, so that nobody fills the places of others. Nor may more wait than twice what the
            payer's own limits let through at once.
        ttl_ns: Age at which a reservation that nobody closed counts as used in full.
    """

    def __init__(
        self,
        spec_of: Callable[[Scope], LimitSpec],
        *,
        max_waiting: int = 10_000,
        max_waiting_per_payer: int = 256,
        ttl_ns: int = RESERVATION_TTL_NS,
    ) -> None:
        self._spec_of = spec_of
        self._max_waiting = max_waiting
        self._max_waiting_per_payer = max_waiting_per_payer
        self._ttl_ns = ttl_ns
        self._now = 0
        self._last_number = 0  # reservations, tickets and turns share one sequence
        self._gates: OrderedDict[Scope, Gate] = OrderedDict()
        self._lanes: dict[tuple[Scope, ...], Lane] = {}
        self._lane_of: dict[int, Lane] = {}  # by ticket: everyone who waits
        self._open: dict[int, tuple[tuple[Gate, ...], Amounts, int]] = {}  # oldest first
        self._next_expiry = 0  # no open reservation expires before
        self._stirred: dict[Gate, None] = {}
        self._wakes: list[tuple[int, int, Gate]] = []  # a heap; stale where the gate's wake_at differs
        self._deadlines: list[tuple[int, int]] = []  # a heap of (deadline, ticket); stale where decided

    # --- asking ---------------------------------------------------------------------------------------------

    def offer(self, ask: Ask, now: int) -> Admitted | Queued | Refused:
        """Admit at once, in turn later, or never. Takes from all scopes or from none."""
        if self._now <= now < self._next_expiry:
            self._now = now
        else:
            self._turn_clock(now)
        amounts = (ask.requests, ask.tokens, ask.cost_picousd)
        try:
            gates = tuple(map(self._gates.__getitem__, ask.scopes))
        except KeyError:
            gates = self._make_gates(ask.scopes, now)
        self._last_number = reservation_id = self._last_number + 1
        for gate in gates:
            if gate.limited and (gate.line or not gate.try_take(amounts, reservation_id, now)):
                for taken in gates[: gates.index(gate)]:  # given back at the same instant: as if never taken
                    if taken.limited:
                        taken.close(reservation_id, amounts, now)
                break
        else:
            self._open[reservation_id] = (gates, amounts, now)
            return Admitted(reservation_id=reservation_id)
        return self._refuse_at_once(ask, gates, now) or self._enqueue(ask, gates, now)

    def cancel(self, ticket: int) -> bool:
        """Stop waiting. False where the ticket was decided before; an admission must then be released."""
        if ticket not in self._lane_of:
            return False
        self._remove(ticket)
        return True

    def pump(self, now: int) -> tuple[tuple[int, Decision], ...]:
        """Decide for everyone who waits and can be decided now; pairs of ticket and decision, in order."""
        self._turn_clock(now)
        while self._wakes and self._wakes[0][0] <= now:
            at, _, gate = heappop(self._wakes)
            if gate.wake_at == at:
                gate.wake_at = None
                self._stirred[gate] = None
        decided: list[tuple[int, Decision]] = []
        self._refuse_late(decided, now - 1, now)  # nobody is admitted after the deadline,
        self._run_lines(decided, now)
        self._refuse_late(decided, now, now)  # yet at the deadline there is still a chance
        self._run_lines(decided, now)
        return tuple(decided)

    def next_wake(self, now: int) -> int | None:
        """The next instant at which `pump` has something to decide; None while nothing depends on time."""
        self._turn_clock(now)
        if not self._lane_of:
            return None
        if self._stirred:
            return now
        while self._wakes and self._wakes[0][2].wake_at != self._wakes[0][0]:
            heappop(self._wakes)
        while self._deadlines and self._deadlines[0][1] not in self._lane_of:
            heappop(self._deadlines)
        instants = [heap[0][0] for heap in (self._wakes, self._deadlines) if heap]
        if self._open:
            instants.append(self._next_expiry)
        return min(instants, default=None)

    # --- closing --------------------------------------------------------------------------------------------

    def settle(self, reservation_id: int, *, tokens: int, cost_picousd: int, now: int) -> None:
        """Close a reservation with what was really used: less gives back, more makes debt."""
        try:
            gates, (_, reserved_tokens, reserved_cost), _ = self._open.pop(reservation_id)
        except KeyError:
            raise _not_open(reservation_id) from None
        unused = (0, reserved_tokens - tokens, reserved_cost - cost_picousd)
        self._give_back(gates, reservation_id, unused, now)

    def release(self, reservation_id: int, *, now: int) -> None:
        """Close a reservation of which nothing was sent; everything is given back."""
        gates, amounts = self._take_out(reservation_id)
        self._give_back(gates, reservation_id, amounts, now)

    def statistics(self) -> Statistics:
        """How full the limiter is, as a value."""
        return Statistics(open=len(self._open), waiting=len(self._lane_of), scopes=len(self._gates))

    # --- inside ---------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _turn_clock(self, now: int) -> None:
        if now < self._now:  # instants computed from the old reading now lie too far ahead
            self._wakes.clear()
            for gate in self._gates.values():
                gate.wake_at = None
                if gate.line:
                    self._stirred[gate] = None
        self._now = now
        if now >= self._next_expiry:
            self._expire(now)

    def _expire(self, now: int) -> None:
        """Close reservations that nobody closed in time, as used in full."""
        self._next_expiry = now + self._ttl_ns
        while self._open:
            number, (_, _, at) = next(iter(self._open.items()))
            if at + self._ttl_ns > now:
                self._next_expiry = at + self._ttl_ns
                break
            self._give_back(self._take_out(number)[0], number, (0, 0, 0), now)

    def _make_gates(self, scopes: tuple[Scope, ...], now: int) -> tuple[Gate, ...]:
        known = self._gates
        missing = [scope for scope in scopes if scope not in known]
        self._sweep(2 * len(missing), now)
        return tuple([known.get(scope) or self._new_gate(scope, now) for scope in scopes])

    def _new_gate(self, scope: Scope, now: int) -> Gate:
        gate = self._gates[scope] = Gate(scope, self._spec_of(scope), now)
        return gate

    def _sweep(self, count: int, now: int) -> None:
        """Forget the idle among the ``count`` gates looked at longest ago.

        Two are looked at for each one made, so what is remembered stays within twice what is in use.
        """
        if len(self._gates) > IDLE_GATES:
            for _ in range(count):
                scope, gate = self._gates.popitem(last=False)
                if not gate.is_idle(now):
                    self._gates[scope] = gate

    def _take_out(self, reservation_id: int) -> tuple[tuple[Gate, ...], Amounts]:
        try:
            gates, amounts, _ = self._open.pop(reservation_id)
        except KeyError:
            raise _not_open(reservation_id) from None
        return gates, amounts

    def _give_back(self, gates: tuple[Gate, ...], reservation_id: int, unused: Amounts, now: int) -> None:
        for gate in gates:
            if gate.limited:
                gate.close(reservation_id, unused, now)
                if gate.line:
                    self._stirred[gate] = None

    def _refuse_at_once(self, ask: Ask, gates: tuple[Gate, ...], now: int) -> Refused | None:
        amounts = ask.amounts
        for gate in gates:
            index = gate.refuses_for_good(amounts)
            if index is not None:
                text = f"more than the {LIMIT_NAMES[index]} of this {gate.scope[0]}: never admissible"
                return Refused(error=_limited(index, f"{amounts[index]} is {text}", None))
        if ask.deadline_ns is not None:
            # The least it can take: those of its own lane are before it, whatever the other lanes do.
            lane = self._lanes.get(ask.scopes)
            ahead = lane.ahead if lane else [0, 0, 0]
            opens = max((gate.opens(amounts, ahead, now)[0] for gate in gates), default=now)
            if ask.deadline_ns <= now or ask.deadline_ns < opens:
                return _refusal(gates, ask, now)
        payer = gates[0]
        most = self._max_waiting_per_payer
        if payer.most_waiting is not None and payer.most_waiting < most:
            most = payer.most_waiting
        if payer.waiting >= most:
            return _refusal(gates, ask, now)
        if len(self._lane_of) >= self._max_waiting:
            return Refused(error=Overloaded("too many requests are waiting"))
        return None

    # --- lines ----------------------------------------------------------------------------------------------

    def _enqueue(self, ask: Ask, gates: tuple[Gate, ...], now: int) -> Queued:
        ticket = self._number()
        lane = self._lanes.get(ask.scopes)
        if lane is None:
            lane = self._lanes[ask.scopes] = Lane(ask.scopes, gates, turn=ticket)
        lane.waiting[ticket] = ask
        self._lane_of[ticket] = lane
        lane.count(ask, 1)
        if ask.deadline_ns is not None:
            heappush(self._deadlines, (ask.deadline_ns, ticket))
            if len(self._deadlines) > 2 * len(self._lane_of) + 64:  # mostly stale
                self._deadlines = [entry for entry in self._deadlines if entry[1] in self._lane_of]
                heapify(self._deadlines)
        if len(lane.waiting) == 1:
            self._blocking(lane, now)
        return Queued(ticket=ticket, wake_at_ns=self.next_wake(now))

    def _refuse_late(self, decided: list[tuple[int, Decision]], deadline_ns: int, now: int) -> None:
        """Refuse those whose deadline is ``deadline_ns`` or before."""
        while self._deadlines and self._deadlines[0][0] <= deadline_ns:
            _, ticket = heappop(self._deadlines)
            lane = self._lane_of.get(ticket)
            if lane is not None:
                ask = self._remove(ticket)
                decided.append((ticket, _refusal(lane.gates, ask, now)))

    def _remove(self, ticket: int) -> Ask:
        """Take a waiter out of its lane, and an empty lane out of all lines."""
        lane = self._lane_of.pop(ticket)
        first = next(iter(lane.waiting))
        ask = lane.waiting.pop(ticket)
        lane.count(ask, -1)
        for gate in lane.gates:
            if ticket == first and gate.line and gate.line[0] is lane:
                self._stirred[gate] = None  # the next of the lane may want less
        if not lane.waiting:
            del self._lanes[lane.scopes]
            self._leave(lane, lane.gates)
        return ask

    def _leave(self, lane: Lane, gates: tuple[Gate, ...]) -> None:
        for gate in gates:
            if gate.leave(lane):
                self._stirred[gate] = None

    def _blocking(self, lane: Lane, now: int) -> Gate | None:
        """The gate that stops the lane's first ask, where the lane now waits; None if there is none."""
        ask = next(iter(lane.waiting.values()))
        amounts = ask.amounts
        for position, gate in enumerate(lane.gates):
            if not gate.lets(lane, amounts, now):
                gate.join(lane)
                if gate.line[0] is lane:  # new there or not: others may have taken what it was promised
                    self._set_wake(gate, now)
                self._leave(lane, lane.gates[position + 1 :])
                return gate
        return None

    def _run_lines(self, decided: list[tuple[int, Decision]], now: int) -> None:
        """Let through whoever can pass, until no gate is stirred."""
        while self._stirred:
            gate, _ = self._stirred.popitem()
            while gate.line:
                lane = gate.line[0]
                if self._blocking(lane, now) is None:
                    self._pass(lane, decided, now)
                elif gate.line and gate.line[0] is lane:
                    break
            self._set_wake(gate, now)

    def _pass(self, lane: Lane, decided: list[tuple[int, Decision]], now: int) -> None:
        """Admit the lane's first ask, and those behind it that meet nobody in line."""
        passes = True
        while passes:
            ticket = next(iter(lane.waiting))
            self._leave(lane, lane.gates)
            ask = self._remove(ticket)
            amounts = ask.amounts
            reservation_id = self._number()
            for gate in lane.gates:
                if gate.limited:
                    gate.try_take(amounts, reservation_id, now)
            self._open[reservation_id] = (lane.gates, amounts, now)
            decided.append((ticket, Admitted(reservation_id=reservation_id)))
            if not lane.waiting:
                return
            lane.turn = self._number()
            passes = self._blocking(lane, now) is None

    def _set_wake(self, gate: Gate, now: int) -> None:
        """Note when time gives room to the first in ``gate``'s line; whatever else blocks it will stir it."""
        at = now
        if gate.line:
            ask = next(iter(gate.line[0].waiting.values()))
            at, _ = gate.opens(ask.amounts, [0, 0, 0], now)
        if at == now:
            gate.wake_at = None
        elif at != gate.wake_at:
            gate.wake_at = at
            heappush(self._wakes, (at, self._number(), gate))
            if len(self._wakes) > 2 * len(self._gates) + 64:  # mostly stale
                self._wakes = [entry for entry in self._wakes if entry[2].wake_at == entry[0]]
                heapify(self._wakes)


def _not_open(reservation_id: int) -> ValueError:
    return ValueError(f"reservation {reservation_id} is not open")


def _refusal(gates: tuple[Gate, ...], ask: Ask, now: int) -> Refused:
    """Not in time. Says when the same ask would pass, after all who wait and if nobody else came."""
    amounts = ask.amounts
    at, index, scope = now, -1, gates[0].scope
    for gate in gates:
        opens, limit = gate.opens(amounts, gate.ahead, now)
        if opens > at:
            at, index, scope = opens, limit, gate.scope
    if index < 0:
        text = f"too many parallel requests of this {scope[0]}"
        return Refused(error=RateLimited(text, retry_after_s=PLACE_RETRY_NS / 1e9))
    retry_after_s = -(-(at - now) // 1000) / 1e6  # whole microseconds, rounded up: never too early
    text = f"the {LIMIT_NAMES[index]} of this {scope[0]} are used up; try again in {retry_after_s:.3f} s"
    return Refused(error=_limited(index, text, retry_after_s))


def _limited(index: int, text: str, retry_after_s: float | None) -> RateLimited:
    return (BudgetExceeded if index == COST else RateLimited)(text, retry_after_s=retry_after_s)
