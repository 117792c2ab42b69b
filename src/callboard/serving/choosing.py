"""Requests for the model ``auto``: the choice is made at the door, so that whatever follows has its name.

The field ``model_preferences`` says what the model should be like, in MCP's form, and goes no further. A
request for a model by its name is not touched.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.preferences import PREFERENCES
from callboard.domain.steps import in_turns
from callboard.serving.visit import Visit
from callboard.wire.openai_chat.request import decoding
from callboard.wire.openai_responses.request import ResponsesRequest

_FIELDS = msgspec.json.Decoder(dict[str, Raw])


async def chosen_body(visit: Visit, body: bytes) -> bytes:
    """A chat completion request for ``auto``, as if the client had asked for the model that is chosen.

    Raises:
        LocalWireError: It breaks the dialect.
        UnknownModel: There is no model that the client may ask for.
    """
    chat = await in_turns(decoding(body))
    request = visit.house.routes.addressed(chat.request, visit.principal)
    if request is chat.request:
        return body
    fields = _FIELDS.decode(body)
    fields.pop(PREFERENCES, None)
    fields["model"] = Raw(msgspec.json.encode(request.model))
    return msgspec.json.encode(fields)


def chosen(visit: Visit, asked: ResponsesRequest) -> ResponsesRequest:
    """A request for a response, for the model that is chosen where it is for ``auto``.

    Raises:
        UnknownModel: There is no model that the client may ask for.
    """
    request = visit.house.routes.addressed(asked.request, visit.principal)
    if request is asked.request:
        return asked
    return replace(asked, request=request, echo=replace(asked.echo, model=request.model))
