"""One request as its route sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from anyio.lowlevel import checkpoint
from msgspec import Struct

from callboard.domain.meter import Meter
from callboard.domain.principal import Principal
from callboard.domain.steps import in_turns
from callboard.serving.exchange import Exchange
from callboard.serving.house import House
from callboard.wire.json import STEP_BYTES, check, checking

NO_PARAMETERS: Mapping[str, str] = {}


class Visit(Struct, frozen=True, kw_only=True):
    """The request, who makes it, its running account, and what may be used to answer it.

    Attributes:
        parameters: What stands in the request's path where its route's has a name in braces.
        idempotency_key: The client's name for the request, where it is to be carried out once.
    """

    exchange: Exchange
    principal: Principal
    meter: Meter
    house: House
    parameters: Mapping[str, str] = NO_PARAMETERS
    idempotency_key: str = ""

    async def document(self) -> bytes:
        """The request's body, which is JSON within its limits. While a large one is checked, others go on.

        Raises what `Exchange.body` and `callboard.wire.json.check` raise.
        """
        body = await self.exchange.body(self.house.max_body_bytes)
        if len(body) <= STEP_BYTES:
            check(body)
        else:
            await in_turns(checking(body))
            await checkpoint()
        return body


Handler: TypeAlias = Callable[[Visit], Awaitable[None]]
