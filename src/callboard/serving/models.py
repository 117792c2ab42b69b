"""``GET /v1/models``: the models that can be asked for, in OpenAI's form.

Source: OpenAI API, "List models".
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from callboard.actors.provider_system import ListModels
from callboard.domain.preferences import AUTO
from callboard.serving.visit import Visit


class _Model(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class _ModelList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[_Model, ...]


async def models(visit: Visit) -> None:
    """Answer with those of the configured models that the client may ask for, in the operator's order.

    Where these are several, ``auto`` comes behind them.
    """
    specs = await visit.house.providers.ask(ListModels())
    data = [
        _Model(id=spec.name, owned_by=spec.provider) for spec in specs if visit.principal.may_ask(spec.name)
    ]
    if len(data) > 1 and all(spec.name != AUTO for spec in specs):
        data.append(_Model(id=AUTO, owned_by="callboard"))
    await visit.exchange.respond(200, msgspec.json.encode(_ModelList(data=tuple(data))))
