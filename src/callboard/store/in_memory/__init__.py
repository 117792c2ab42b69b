"""The store in memory: everything a store does, for as long as the process lives."""

from callboard.store.in_memory.store import InMemoryStore

__all__ = ["InMemoryStore"]
