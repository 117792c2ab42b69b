"""Recorded streams of OpenAI's Responses API; tests/data/recorded/README.md says whose."""

from pathlib import Path

import msgspec

from tests.wire.openai_chat.recorded import Exchange

_FILE = Path(__file__).parents[2] / "data" / "recorded" / "openai_responses.jsonl"

STREAMS = [msgspec.json.decode(line, type=Exchange) for line in _FILE.read_bytes().splitlines()]
