"""The store in memory: reads its writes, forgets the least recently used, and keeps keys apart."""

from __future__ import annotations

import pytest

from callboard.domain.message import user_text
from callboard.errors import UnknownResponse
from callboard.store.memory import MemoryStore, StoredResponse


def stored(name: str, key: str = "k") -> StoredResponse:
    return StoredResponse(response_id=name, key=key, messages=(user_text(name),))


def test_what_was_saved_can_be_read_at_once() -> None:
    store = MemoryStore()
    store.save(stored("r1"))
    assert store.messages("r1", key="k") == (user_text("r1"),)


@pytest.mark.parametrize("name, key", [("r2", "k"), ("r1", "other")])
def test_an_unknown_response_and_somebody_elses_look_alike(name: str, key: str) -> None:
    store = MemoryStore()
    store.save(stored("r1"))
    with pytest.raises(UnknownResponse, match=f"Previous response with id '{name}' not found"):
        store.messages(name, key=key)


def test_the_least_recently_used_goes_first_and_reading_is_use() -> None:
    store = MemoryStore(max_responses=100)
    for number in range(100):
        store.save(stored(f"r{number}"))
    store.messages("r0", key="k")
    store.save(stored("r100"))
    assert len(store) == 100
    assert store.messages("r0", key="k")
    with pytest.raises(UnknownResponse):
        store.messages("r1", key="k")
