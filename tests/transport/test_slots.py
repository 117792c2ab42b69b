"""Slots: never more than the capacity, nobody overtaken, nothing lost, for any order of events."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.transport.slots import Slots, Waiter


def taken(slots: Slots[int], count: int) -> None:
    assert [slots.take_free() for _ in range(count)] == [True] * count


@pytest.mark.anyio
async def test_the_capacity_is_exact() -> None:
    slots: Slots[int] = Slots(2)
    taken(slots, 2)
    assert not slots.take_free()
    slots.vacate()
    assert slots.take_free()


@pytest.mark.anyio
async def test_the_most_recently_used_connection_is_taken_first() -> None:
    slots: Slots[int] = Slots(3)
    taken(slots, 3)
    for connection in (1, 2, 3):
        slots.give_back(connection)
    assert [slots.take_idle() for _ in range(4)] == [3, 2, 1, None]


@pytest.mark.anyio
async def test_a_connection_given_back_goes_to_the_first_in_line() -> None:
    slots: Slots[int] = Slots(1)
    taken(slots, 1)
    first, second = slots.join(), slots.join()
    slots.give_back(7)
    assert (first.granted, first.connection, first.ready.is_set()) == (True, 7, True)
    assert not second.granted
    assert slots.take_idle() is None


@pytest.mark.anyio
async def test_a_free_slot_goes_to_the_first_in_line() -> None:
    slots: Slots[int] = Slots(1)
    taken(slots, 1)
    waiter = slots.join()
    slots.vacate()
    assert (waiter.granted, waiter.connection, slots.taken) == (True, None, 1)


@pytest.mark.anyio
async def test_whoever_leaves_the_line_passes_on_what_came_too_late() -> None:
    slots: Slots[int] = Slots(1)
    taken(slots, 1)
    first, second, third = slots.join(), slots.join(), slots.join()
    slots.give_back(7)
    slots.leave(first)
    assert second.connection == 7
    slots.leave(third)
    slots.leave(second)
    assert (slots.taken, list(slots.idle), list(slots.waiters)) == (1, [7], [])


class Model:
    """Drives slots with random events and checks the books after each."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.slots: Slots[int] = Slots(capacity)
        self.busy: list[int] = []
        self.opening = 0
        self.line: list[Waiter[int]] = []
        self.next_connection = 0

    def call(self) -> None:
        connection = self.slots.take_idle()
        if connection is not None:
            self.busy.append(connection)
        elif self.slots.take_free():
            self.opening += 1
        else:
            self.line.append(self.slots.join())

    def opened(self) -> None:
        if self.opening:
            self.opening -= 1
            self.next_connection += 1
            self.busy.append(self.next_connection)

    def open_failed(self) -> None:
        if self.opening:
            self.opening -= 1
            self.slots.vacate()

    def kept(self) -> None:
        if self.busy:
            self.slots.give_back(self.busy.pop(0))

    def closed(self) -> None:
        if self.busy:
            self.busy.pop(0)
            self.slots.vacate()

    def gives_up(self) -> None:
        if self.line:
            self.slots.leave(self.line.pop(len(self.line) // 2))

    def wakes(self) -> None:
        for waiter in [waiter for waiter in self.line if waiter.granted]:
            self.line.remove(waiter)
            if waiter.connection is None:
                self.opening += 1
            else:
                self.busy.append(waiter.connection)

    def check(self) -> None:
        granted = [waiter for waiter in self.line if waiter.granted]
        assert self.slots.taken == len(self.busy) + self.opening + len(self.slots.idle) + len(granted)
        assert self.slots.taken <= self.capacity
        waiting = [waiter for waiter in self.line if not waiter.granted]
        assert list(self.slots.waiters) == waiting
        if waiting:
            assert self.slots.taken == self.capacity
            assert not self.slots.idle
        held = [*self.busy, *self.slots.idle, *(w.connection for w in granted if w.connection is not None)]
        assert len(held) == len(set(held))


EVENTS = [
    Model.call, Model.call, Model.opened, Model.open_failed,
    Model.kept, Model.closed, Model.gives_up, Model.wakes,
]  # fmt: skip


@given(capacity=st.integers(1, 4), events=st.lists(st.sampled_from(EVENTS), max_size=80))
def test_the_books_balance_after_any_events(capacity: int, events: list[Callable[[Model], None]]) -> None:
    model = Model(capacity)
    for event in events:
        event(model)
        model.check()
