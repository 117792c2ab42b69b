"""Where conversations are kept."""

from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.memory import MemoryStore, StoredResponse

__all__ = ["HiddenRounds", "MemoryStore", "StoredResponse"]
