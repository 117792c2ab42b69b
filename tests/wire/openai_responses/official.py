"""What OpenAI's own package thinks of our output."""

from __future__ import annotations

import json
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

_EVENTS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}
"""The class is picked by ``type``, as the union itself takes anything for anything."""


def check_response(response: Any) -> None:
    """Raise where the official type refuses a Response object."""
    Response.model_validate_json(json.dumps(response), strict=True)


def check_event(data: Any) -> None:
    """Raise where the official type refuses an event, or does not know it."""
    _EVENTS[data["type"]].model_validate_json(json.dumps(data), strict=True)
