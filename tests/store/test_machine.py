"""Whatever is done to a store, it holds what the plainest model holds."""

from __future__ import annotations

import pytest

from tests.contracts.store_machine import run_machine
from tests.store.test_in_memory import TestInMemoryStore as InMemory
from tests.store.test_sqlite import TestSqliteStore as Sqlite


@pytest.mark.parametrize("world, examples", [(InMemory, 40), (Sqlite, 6)])
def test_a_store_agrees_with_the_model(world: type[InMemory | Sqlite], examples: int) -> None:
    run_machine(world().open, examples=examples)


@pytest.mark.soak
@pytest.mark.parametrize("world", [InMemory, Sqlite])
def test_a_store_agrees_with_the_model_for_long(world: type[InMemory | Sqlite]) -> None:
    run_machine(world().open, examples=600)
