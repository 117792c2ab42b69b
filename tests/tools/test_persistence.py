"""Calls that are made again: how often, how far apart, and which."""

from __future__ import annotations

import anyio
import pytest

from callboard.tools.persistence import persistently
from callboard.tools.source import SourceUnavailable
from tests.simulation.loops import run_on_trio


class Attempts:
    """Fails so often, and then does not."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.at: list[float] = []

    async def __call__(self) -> str:
        self.at.append(anyio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def times(attempts: Attempts) -> list[float]:
    return [round(each - attempts.at[0], 3) for each in attempts.at]


def test_an_idempotent_call_is_made_three_times_a_second_apart() -> None:
    attempts = Attempts(TimeoutError(), SourceUnavailable("gone", sent=True))
    assert run_on_trio(lambda: persistently(attempts, idempotent=True), seed=1) == "done"
    assert times(attempts) == [0.0, 1.0, 2.0]


def test_the_last_failure_is_the_answer() -> None:
    attempts = Attempts(TimeoutError(), TimeoutError(), SourceUnavailable("gone"), TimeoutError())

    async def main() -> None:
        with pytest.raises(SourceUnavailable, match="gone"):
            await persistently(attempts, idempotent=True)

    run_on_trio(main, seed=1)
    assert len(attempts.at) == 3


def test_what_might_do_harm_twice_is_done_once() -> None:
    attempts = Attempts(TimeoutError())

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await persistently(attempts, idempotent=False)

    run_on_trio(main, seed=1)
    assert len(attempts.at) == 1


def test_what_went_wrong_otherwise_is_not_tried_again() -> None:
    attempts = Attempts(ValueError("no"))

    async def main() -> None:
        with pytest.raises(ValueError, match="no"):
            await persistently(attempts, idempotent=True)

    run_on_trio(main, seed=1)
    assert len(attempts.at) == 1
