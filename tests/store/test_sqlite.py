"""The store in SQLite keeps the contract of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from callboard.store import Store
from callboard.store.sqlite import open_sqlite
from tests.contracts.store import StoreContract

pytestmark = pytest.mark.anyio


class TestSqliteStore(StoreContract):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        with TemporaryDirectory() as directory:
            async with open_sqlite(Path(directory) / "store.db") as store:
                yield store
