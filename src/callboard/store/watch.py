"""Who waits for what is written to a response, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Watcher:
    """Waits for the next write; one that came since the last wait counts."""

    def __init__(self) -> None:
        self._written = anyio.Event()

    async def wait(self) -> None:
        """Return when something was written since this last returned."""
        await self._written.wait()
        self._written = anyio.Event()

    def tell(self) -> None:
        """Something was written."""
        self._written.set()


class Watch:
    """Tells watchers of writes. Nobody is told of what another process writes."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Watcher]] = {}

    @contextmanager
    def watching(self, response_id: str) -> Iterator[Watcher]:
        """Watch a response for the length of a block."""
        watcher = Watcher()
        watchers = self._watchers.setdefault(response_id, set())
        watchers.add(watcher)
        try:
            yield watcher
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop(response_id, None)

    def written(self, response_id: str) -> None:
        """Something was written to the response ``response_id``."""
        for watcher in self._watchers.get(response_id, ()):
            watcher.tell()
