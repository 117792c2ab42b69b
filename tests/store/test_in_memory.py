"""The store in memory keeps the contract of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callboard.errors import StoreUnavailable
from callboard.store import InMemoryStore, Store
from tests.contracts.store import StoreContract
from tests.contracts.store_world import T, begin

pytestmark = pytest.mark.anyio


class TestInMemoryStore(StoreContract):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        yield InMemoryStore()

    async def test_it_cannot_be_backed_up(self, tmp_path: Path) -> None:
        async with self.store() as store:
            with pytest.raises(StoreUnavailable, match="in memory"):
                await store.backup(tmp_path / "copy")

    async def test_closing_it_forgets_everything(self) -> None:
        store = InMemoryStore()
        await store.commit((begin("r"),))
        await store.aclose()
        assert await store.response(T, "r") is None
