"""``POST /v1/responses/compact``: a conversation made short.

The model is asked for a summary, which stands for everything that was said: the answer is one item, to be
sent in the place of the conversation (`callboard.wire.openai_responses.compaction`). It is a request like
any other, with the same limits and a line in the ledger, but nothing of it is stored.

Source: Open Responses specification, 2026-04-24, "Compact a response".
"""

from __future__ import annotations

from callboard.actors.assistant import RespondWhole
from callboard.actors.order import TurnOrder
from callboard.domain.fold import Fold
from callboard.domain.steps import in_turns
from callboard.domain.turn import ASIDES, TurnEvent
from callboard.serving.responses.references import kept_items
from callboard.serving.visit import Visit
from callboard.wire.openai_responses.compaction import encode_compacted, summarising
from callboard.wire.openai_responses.request import decoding


async def compact(visit: Visit) -> None:
    """Answer with the summary of a conversation."""
    body = await visit.document()
    asked = await in_turns(decoding(body, kept=await kept_items(visit, body)))
    order = TurnOrder(
        request=summarising(asked.request),
        response_id=visit.house.new_id("resp_"),
        principal=visit.principal,
        meter=visit.meter,
        previous_response_id=asked.previous_response_id,
    )
    await visit.exchange.attend(lambda: _summarise(visit, order))


async def _summarise(visit: Visit, order: TurnOrder) -> None:
    fold = Fold()

    def take(event: TurnEvent) -> None:
        if not isinstance(event, ASIDES):
            fold.apply(event)

    await visit.house.assistant.ask(RespondWhole(order=order, take=take))
    answer = encode_compacted(
        fold.result(), response_id=order.response_id, created_at=int(visit.house.now_s())
    )
    await visit.exchange.respond(200, answer)
