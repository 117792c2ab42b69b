"""Which store a URL names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from callboard.store.in_memory import InMemoryStore
from callboard.store.store import Store

SQLITE = "sqlite:///"


@asynccontextmanager
async def open_store(url: str, folder: Path) -> AsyncIterator[Store]:
    """The store at ``url``, for the length of a block.

    Args:
        url: ``memory:``, or ``sqlite:///`` and a path.
        folder: What a relative path starts from.

    Raises:
        StoreUnavailable: It cannot be opened.
    """
    if url.startswith(SQLITE):
        # Loaded where it is used: most of what imports the runtime never opens one.
        from callboard.store.sqlite import open_sqlite  # noqa: PLC0415

        async with open_sqlite(folder / url.removeprefix(SQLITE)) as store:
            yield store
    else:
        yield InMemoryStore()
