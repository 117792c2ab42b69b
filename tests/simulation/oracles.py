"""What must hold whatever happened. Each oracle raises AssertionError with the facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from callboard.kernel import (
    Crashed,
    DeadLetter,
    DeadLetterReason,
    Escalated,
    LifecycleEvent,
    Restarted,
    Started,
    Stopped,
)
from tests.simulation.record import Outcome, Record
from tests.simulation.scenario import Kind, Scenario, TroupeSpec

NEVER_HANDLED = {Outcome.FULL, Outcome.DRAINING, Outcome.STOPPED}
ALWAYS_HANDLED = {Outcome.VALUE, Outcome.REFUSED}


def check(scenario: Scenario, record: Record) -> None:
    """Hold ``record`` against every oracle."""
    every_sender_ends_once(record)
    messages_are_conserved(scenario, record)
    no_ask_outlives_its_deadline(scenario, record)
    nobody_leaves_who_is_shielded(scenario, record)
    nobody_works_for_those_who_left(record)
    restarts_stay_within_intensity(scenario, record)
    starts_are_in_order(record)
    stops_are_in_reverse(record)
    nothing_is_alive(record)


def every_sender_ends_once(record: Record) -> None:
    """Each message that was begun has ended for its sender."""
    assert Counter(ended.number for ended in record.ended) == Counter(record.begun)


def messages_are_conserved(scenario: Scenario, record: Record) -> None:
    """Each request is handled at most once, and exactly then when its outcome says so; no notice is lost."""
    assert all(count == 1 for count in record.handled.values()), "handled twice"
    kinds = {operation.number: operation.kind for operation in scenario.operations}
    for ended in record.ended:
        if kinds[ended.number] is Kind.TELL:
            continue
        handled = record.handled[ended.number]
        assert not (handled and ended.outcome in NEVER_HANDLED), ended
        assert handled or ended.outcome not in ALWAYS_HANDLED, ended
    buried: Counter[str] = Counter()
    for event in record.events:
        if not isinstance(event, DeadLetter) or event.request != "Hear":
            continue
        if event.reason is DeadLetterReason.STOPPED:
            buried[event.path.rpartition("/")[2]] += 1
    assert record.told == record.heard + buried, "a notice was lost"


def no_ask_outlives_its_deadline(scenario: Scenario, record: Record) -> None:
    """In virtual time the end comes exactly at the deadline, at the latest, but for shielded asks."""
    shielded = _shielded(scenario)
    for ended in record.ended:
        assert ended.ended <= ended.deadline + 1e-9 or ended.number in shielded, ended


def nobody_leaves_who_is_shielded(scenario: Scenario, record: Record) -> None:
    """A shielded ask ends with an answer, or with the reason why there is none."""
    shielded = _shielded(scenario)
    for ended in record.ended:
        assert ended.outcome is not Outcome.GONE or ended.number not in shielded, ended


def nobody_works_for_those_who_left(record: Record) -> None:
    """Work is cancelled in the instant in which its asker leaves."""
    for ended in record.ended:
        if ended.outcome is Outcome.GONE:
            assert record.worked_until.get(ended.number, 0.0) <= ended.ended + 1e-9, ended


def restarts_stay_within_intensity(scenario: Scenario, record: Record) -> None:
    """No window holds more restarts than allowed, and escalation comes exactly one after."""
    for path, troupe in _troupes(scenario.tree, scenario.tree.name):
        limit, within = troupe.intensity.max_restarts, troupe.intensity.within
        for life in _lives(path, record.events):
            times = [event.at for event in life if isinstance(event, Restarted)]
            for index in range(len(times) - limit):
                assert times[index + limit] - times[index] > within, (path, times)
            for event in life:
                if isinstance(event, Escalated):
                    recent = [at for at in times if event.at - at <= within]
                    assert len(recent) == limit, (path, times, event)


def starts_are_in_order(record: Record) -> None:
    """Every player's first entrance comes after that of the player before."""
    first = [
        event.path
        for event in record.events
        if isinstance(event, Started) and event.incarnation == 1 and "walk-on" not in event.path
    ]
    numbers = [_number(path) for path in first]
    assert numbers == sorted(numbers), first


def stops_are_in_reverse(record: Record) -> None:
    """From the drain on, actors end in the reverse of their start order, unless they crash or step down."""
    begun = record.drained_from
    if begun is None:
        return
    up: dict[str, bool] = {}
    for event in record.events[:begun]:
        match event:
            case Started():
                up[event.path] = True
            case Stopped() | Crashed():
                up[event.path] = False
            case _:
                pass
    since = record.events[begun:]
    if any(isinstance(event, Restarted | Escalated) for event in since):
        return
    # A restart that was under way when the drain began may still be halting siblings.
    doubtful = {
        event.path for event in record.events if isinstance(event, Restarted) and _unfinished(event, up)
    }
    ends = [
        _number(event.path)
        for event in since
        if isinstance(event, Stopped)
        and up.get(event.path)
        and event.path.rpartition("/")[0] not in doubtful
        and event.path.rpartition("/")[2] not in record.stepped_down
        and "walk-on" not in event.path
    ]
    assert ends == sorted(ends, reverse=True), ends


def nothing_is_alive(record: Record) -> None:
    """No incarnation and no spawned work is left, and none outlived what it stood on."""
    assert not record.violations
    assert record.alive == 0
    assert record.working == 0


def _shielded(scenario: Scenario) -> frozenset[int]:
    return frozenset(
        operation.number
        for operation in scenario.operations
        if operation.shielded and operation.kind is Kind.ASK
    )


def _unfinished(event: Restarted, up: dict[str, bool]) -> bool:
    return not all(up.get(f"{event.path}/{child}", True) for child in event.children)


def _number(path: str) -> int:
    return int(path.rpartition("player")[2].partition("/")[0])


def _troupes(troupe: TroupeSpec, path: str) -> Iterator[tuple[str, TroupeSpec]]:
    yield path, troupe
    for member in troupe.members:
        if isinstance(member, TroupeSpec):
            yield from _troupes(member, f"{path}/{member.name}")


def _lives(path: str, events: list[LifecycleEvent]) -> Iterator[list[Restarted | Escalated]]:
    """Group a supervisor's decisions by its incarnation: each has its own history."""
    lives: dict[int, list[Restarted | Escalated]] = {}
    for event in events:
        if isinstance(event, Restarted | Escalated) and event.path == path:
            lives.setdefault(event.incarnation, []).append(event)
    yield from lives.values()
