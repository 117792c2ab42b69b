"""Recorded exchanges with OpenAI's Responses API; tests/data/recorded/README.md says whose."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tests.wire.openai_chat.recorded import Exchange

_FOLDER = Path(__file__).parents[2] / "data" / "recorded"
_FILES = ("openai_responses.jsonl", "openai_responses_upstream.jsonl")

EXCHANGES = [
    msgspec.json.decode(line, type=Exchange)
    for name in _FILES
    for line in (_FOLDER / name).read_bytes().splitlines()
]
STREAMS = [one for one in EXCHANGES if one.streamed]
DOCUMENTS = [one for one in EXCHANGES if one.response.status == 200 and not one.streamed]
ERRORS = [one for one in EXCHANGES if one.response.status != 200]


def final(exchange: Exchange) -> Any:
    """The Response object that an answer came to."""
    if not exchange.streamed:
        return json.loads(exchange.answer)
    data = [line[6:] for line in exchange.response.body.splitlines() if line.startswith("data: ")]
    return json.loads(data[-1])["response"]
