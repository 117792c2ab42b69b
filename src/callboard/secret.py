"""A string that does not show itself: keys and header values on their way from configuration to the wire."""

from __future__ import annotations

from hmac import compare_digest


class Secret:
    """Wraps a string so that printing, formatting or logging it by accident gives ``***``.

    Nothing encodes it either: msgspec refuses the type, and so does pickle. Only `reveal` gives the string.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The string itself; call this where it goes onto the wire, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled: read the configuration again in the other process")
