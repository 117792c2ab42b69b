"""Items of a type we do not know, kept in the domain as they came.

They are wrapped, so that nobody takes one for a block of another dialect that has the same type.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import OpaqueBlock
from callboard.domain.item import ITEM


class _Wrapped(Struct, frozen=True, kw_only=True, tag_field="type", tag=ITEM):
    item: Raw


_WRAPPED = msgspec.json.Decoder(_Wrapped)


def opaque_item(item: Raw) -> OpaqueBlock:
    """An item as a block."""
    return OpaqueBlock(type=ITEM, raw=Raw(msgspec.json.encode(_Wrapped(item=item))))


def item_in(block: OpaqueBlock) -> Raw:
    """The item that a block of the type `callboard.domain.item.ITEM` is."""
    return _WRAPPED.decode(block.raw).item.copy()
