"""Cancels a piece of work exactly where it suspends for the k-th time, on every event loop."""

from collections.abc import Callable, Coroutine, Generator
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


async def cancelled_at(step: int, work: Coroutine[object, object, None]) -> bool:
    """Run the work and cancel it at its suspension number ``step``, counted from 1.

    Returns:
        Whether the work suspended that often. It may still have run to its end: a cancellation that arrives
        together with what the work waits for can lose.
    """
    with anyio.CancelScope() as scope:
        await _Stepped(work, step, scope.cancel)
    return scope.cancel_called


class _Stepped(Generic[T]):
    """Forwards every suspension of a coroutine and counts them."""

    def __init__(self, work: Coroutine[object, object, T], step: int, cancel: Callable[[], None]) -> None:
        self._work = work
        self._step = step
        self._cancel = cancel

    def __await__(self) -> Generator[object, object, T]:
        steps = 0
        failure: BaseException | None = None
        answer: object = None
        while True:
            try:
                waiting_for = self._work.send(answer) if failure is None else self._work.throw(failure)
            except StopIteration as stop:
                result: T = stop.value
                return result
            failure = None
            steps += 1
            if steps == self._step:
                self._cancel()
            try:
                answer = yield waiting_for
            except BaseException as raised:  # noqa: BLE001 - thrown on into the work, in its place
                failure = raised
