"""What goes first when too much is kept: a pure choice, alike in every store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from callboard.store.records import RetentionPolicy


class Unit(Struct, frozen=True, kw_only=True):
    """What is kept or goes as a whole.

    Attributes:
        kind: A tree of responses, or a conversation.
        number: The store's own name for it.
        active_at_s: When something last began or ended in it.
        responses: How many of its responses can still be found.
        live: Whether one of them is.
    """

    kind: Literal["tree", "conversation"]
    number: int
    active_at_s: int
    responses: int = 0
    bytes: int = 0
    live: bool = False


class Holding(Struct, frozen=True, kw_only=True):
    """What there is in all."""

    responses: int
    bytes: int
    conversations: int


def superfluous(
    units: Iterable[Unit], holding: Holding, policy: RetentionPolicy, now_s: int
) -> Iterator[Unit]:
    """Those of ``units`` that ``policy`` does not keep.

    Args:
        units: All there are, the one whose activity is the longest ago first.
        holding: Their sums.
        policy: What to keep.
        now_s: Seconds since the Unix epoch.
    """
    responses, size, conversations = holding.responses, holding.bytes, holding.conversations
    for unit in units:
        is_tree = unit.kind == "tree"
        gone = not unit.live and (
            _over(now_s - unit.active_at_s, policy.max_age_s)
            or _over(size, policy.max_bytes)
            or _over(responses if is_tree else conversations, _bound_of(unit, policy))
        )
        if gone:
            responses -= unit.responses
            conversations -= not is_tree
            size -= unit.bytes
            yield unit


def _bound_of(unit: Unit, policy: RetentionPolicy) -> int | None:
    return policy.max_responses if unit.kind == "tree" else policy.max_conversations


def _over(value: int, bound: int | None) -> bool:
    return bound is not None and value > bound
