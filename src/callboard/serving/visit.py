"""One request as its route sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct

from callboard.domain.meter import Meter
from callboard.serving.auth import Principal
from callboard.serving.exchange import Exchange
from callboard.serving.house import House


class Visit(Struct, frozen=True, kw_only=True):
    """The request, who makes it, its running account, and what may be used to answer it."""

    exchange: Exchange
    principal: Principal
    meter: Meter
    house: House


Handler: TypeAlias = Callable[[Visit], Awaitable[None]]
