"""Changes to dictionaries and lists that can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Journal:
    """Remembers how to take back what was done through it. One commit, one journal."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set ``table[key]``."""
        if key in table:
            self._steps.append(partial(table.__setitem__, key, table[key]))
        else:
            self._steps.append(partial(table.__delitem__, key))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> V:
        """Remove ``table[key]`` and return it.

        Raises:
            KeyError: It is not there.
        """
        value = table.pop(key)
        self._steps.append(partial(table.__setitem__, key, value))
        return value

    def append(self, values: list[V], value: V) -> None:
        """Append to ``values``."""
        values.append(value)
        self._steps.append(values.pop)

    def undo(self) -> None:
        """Take everything back, the latest first. The order of a dictionary's keys is not restored."""
        while self._steps:
            self._steps.pop()()
