"""The domain: conversations, generations and tools as values, without I/O and without actors."""

__all__: list[str] = []
