"""One scope's limits and the line of those who wait for them; `callboard.limits.memory` joins gates."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from operator import attrgetter

from callboard.limits.bucket import Bucket, DayWindow, Meter
from callboard.limits.limits import Amounts, Ask, LimitSpec, Scope

COST = 2
LIMIT_NAMES = ("requests per minute", "tokens per minute", "cost per day")

_turn_of = attrgetter("turn")


class Lane:
    """Asks with the same scopes, first come, first served; lanes in turn share a gate.

    Attributes:
        turn: Place among lanes, lower is sooner. A lane that got one through goes to the end: round robin.
        waiting: Asks by ticket, oldest first.
        ahead: What the waiting asks want together.
    """

    __slots__ = ("ahead", "gates", "scopes", "turn", "waiting")

    def __init__(self, scopes: tuple[Scope, ...], gates: tuple[Gate, ...], turn: int) -> None:
        self.scopes = scopes
        self.gates = gates
        self.turn = turn
        self.waiting: OrderedDict[int, Ask] = OrderedDict()
        self.ahead = [0, 0, 0]

    def count(self, ask: Ask, sign: int) -> None:
        """Note that ``ask`` has come to wait (``sign`` 1) or waits no longer (-1), here and at the gates."""
        for gate in self.gates:
            gate.waiting += sign
        for index, amount in enumerate(ask.amounts):
            self.ahead[index] += sign * amount
            for gate in self.gates:
                gate.ahead[index] += sign * amount


class Gate:
    """The meters, the places and the line of one scope.

    Attributes:
        meters: Index into `Amounts` and meter, for the limits that are set.
        line: Lanes whose first ask waits here, in order of turn.
        waiting: Asks that wait with this scope among theirs, whatever they wait for.
        ahead: What those want together.
        wake_at: When the first of the line gets room, None where that does not depend on time.
        limited: Whether anything is limited here. Where nothing is, nobody needs to take and give back.
        most_waiting: How many of a payer whose gate it is may wait: twice as many as may pass at once, None
            where that is not limited.
    """

    __slots__ = (
        "ahead",
        "in_flight",
        "limited",
        "line",
        "meters",
        "most_waiting",
        "parallel",
        "scope",
        "waiting",
        "wake_at",
    )

    def __init__(self, scope: Scope, spec: LimitSpec, now: int) -> None:
        self.scope = scope
        meters: list[tuple[int, Meter]] = []
        for index, rate in enumerate((spec.requests_per_minute, spec.tokens_per_minute)):
            if rate is not None:
                meters.append((index, Bucket(rate, rate, now)))
        if spec.cost_per_day_picousd is not None:
            meters.append((COST, DayWindow(spec.cost_per_day_picousd, now)))
        self.meters = tuple(meters)
        self.parallel = spec.parallel
        self.limited = bool(meters) or spec.parallel is not None
        counts = [each for each in (spec.requests_per_minute, spec.parallel) if each is not None]
        self.most_waiting = 2 * min(counts) if counts else None
        self.in_flight = 0
        self.line: list[Lane] = []
        self.waiting = 0
        self.ahead = [0, 0, 0]
        self.wake_at: int | None = None

    def has_room(self, amounts: Amounts, now: int) -> bool:
        """Whether all limits let ``amounts`` through, the line left aside."""
        if self.parallel is not None and self.in_flight >= self.parallel:
            return False
        return all(meter.fits(amounts[index], now) for index, meter in self.meters)

    def lets(self, lane: Lane, amounts: Amounts, now: int) -> bool:
        """Whether it is ``lane``'s turn here, and there is room."""
        line = self.line
        return (not line or line[0].turn >= lane.turn) and self.has_room(amounts, now)

    def try_take(self, amounts: Amounts, holder: int, now: int) -> bool:
        """Take ``amounts`` if all limits let them through, nothing otherwise; the line left aside."""
        if self.parallel is not None and self.in_flight >= self.parallel:
            return False
        for index, meter in self.meters:
            if not meter.try_take(amounts[index], holder, now):
                for earlier, other in self.meters[: self.meters.index((index, meter))]:
                    other.settle(holder, amounts[earlier], now)  # at the same instant: as if never taken
                return False
        self.in_flight += 1
        return True

    def close(self, holder: int, unused: Amounts, now: int) -> None:
        """End what ``holder`` took and did not need."""
        self.in_flight -= 1
        for index, meter in self.meters:
            meter.settle(holder, unused[index], now)

    def refuses_for_good(self, amounts: Amounts) -> int | None:
        """Index of the limit that ``amounts`` exceed by themselves, None where all could be met."""
        for index, meter in self.meters:
            if amounts[index] > meter.capacity:
                return index
        return None

    def opens(self, amounts: Amounts, ahead: list[int], now: int) -> tuple[int, int]:
        """When ``amounts`` fit after ``ahead``, as far as time decides it, and which limit decides."""
        last = (now, 0)
        for index, meter in self.meters:
            at = meter.earliest(amounts[index], now, ahead=ahead[index])
            if at is not None and at > last[0]:
                last = (at, index)
        return last

    def join(self, lane: Lane) -> None:
        """Let ``lane`` wait here, if it does not yet."""
        position = bisect_left(self.line, lane.turn, key=_turn_of)
        if position == len(self.line) or self.line[position] is not lane:
            self.line.insert(position, lane)

    def leave(self, lane: Lane) -> bool:
        """Take ``lane`` out of the line; True where it was the first, so that somebody else is now."""
        position = bisect_left(self.line, lane.turn, key=_turn_of)
        if position == len(self.line) or self.line[position] is not lane:
            return False
        del self.line[position]
        return position == 0

    def is_idle(self, now: int) -> bool:
        """Whether forgetting this gate changes nothing."""
        if self.in_flight or self.waiting:
            return False
        return all(meter.is_full(now) for _, meter in self.meters)
