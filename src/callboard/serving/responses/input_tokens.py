"""``POST /v1/responses/input_tokens``: how much a request would make the model read.

The number is our own estimate (`callboard.domain.estimate`), not a count by the model's tokenizer: the one by
which requests are admitted, and by which conversations are made to fit a window. It has what was said before,
instructions and the client's tools, without the tools of the runtime's own. A provider's own count comes with
the usage of each answer.

Source: OpenAI API reference, "Get input token counts".
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from callboard.actors.conversation import earlier
from callboard.actors.order import TurnOrder
from callboard.domain.estimate import prompt_tokens
from callboard.domain.item import lifted, together
from callboard.domain.steps import in_turns
from callboard.serving.responses.references import kept_items
from callboard.serving.visit import Visit
from callboard.wire.openai_responses.request import decoding


async def input_tokens(visit: Visit) -> None:
    """Answer with the estimate for a request, which is not made."""
    body = await visit.document()
    asked = await in_turns(decoding(body, kept=await kept_items(visit, body), counted=True))
    order = TurnOrder(
        request=asked.request,
        response_id="",
        principal=visit.principal,
        meter=visit.meter,
        previous_response_id=asked.previous_response_id,
        conversation_id=asked.conversation_id,
    )
    system, history = lifted(await earlier(visit.house.store, order))
    request = replace(
        asked.request,
        system=(*system, *asked.request.system),
        messages=(*together(history), *asked.request.messages),
    )
    counted = {"object": "response.input_tokens", "input_tokens": prompt_tokens(request)}
    await visit.exchange.respond(200, msgspec.json.encode(counted))
